"""What a client gets that a budget refuses: how much is spent, reserved and allowed, and when that changes."""

from typing import Final

from proxy.errors import BudgetExceeded, InvalidRequest
from proxy.limits.budget import Pot, Spending
from proxy.limits.calendar import NEVER, reset_words
from proxy.observability.access_format import dollars

#: Nano-dollars that a request is taken to cost of which nothing is known: it is refused where nothing is left.
SOMETHING: Final = 1
#: Seconds before a reset within which a client is asked to come back for it.
MAX_RETRY_AFTER_SECONDS: Final = 3_600
_MICROSECONDS: Final = 1_000_000


def unpriced(alias: str, pot: Pot) -> InvalidRequest:
    """The refusal of an alias that has no price, by a budget that would have to let it pass for nothing."""
    label = pot.rule.label[0].lower() + pot.rule.label[1:]
    return InvalidRequest(
        f"The model `{alias}` has no price, and a budget applies to it: {label}. "
        f'Have the gateway\'s operator set a price for the model, or unpriced = "allow" in the budget.',
        param="model",
        code="model_not_priced",
    )


def exceeded(spending: Spending, nanos: int, spent: int, reserved: int, moment: int) -> BudgetExceeded:
    """The refusal of a request for which a budget has not enough left, or with 0 `nanos` the end of a stream.

    `moment` is now, in microseconds.
    """
    pot, window = spending.pot, spending.window
    what = f"{pot.rule.label} {'does not cover this request' if nanos else 'ran out while this response was sent'}"
    # Where something is left a request that asks for less may pass.
    advice = "; a smaller max_tokens lowers that" if spent + reserved < spending.limit else ""
    asked = f" This request may cost up to {usd(nanos)}{advice}." if nanos > SOMETHING else ""
    if pot.calendar is None:
        state = f"{usd(spending.limit - spent)} left of {usd(spending.limit)}, and {usd(reserved)} of it reserved"
        message = f"{what}: {state}.{asked} Add credits to go on."
        return BudgetExceeded(message)
    state = f"{usd(spent)} spent and {usd(reserved)} reserved of {usd(spending.limit)}"
    zone = pot.calendar.zone
    resets = "It never resets." if window.end >= NEVER else f"It resets {reset_words(window, zone, moment)}."
    seconds = -(-(window.end - moment) // _MICROSECONDS)
    headers = {"retry-after": str(max(seconds, 1))} if seconds < MAX_RETRY_AFTER_SECONDS else None
    return BudgetExceeded(f"{what}: {state}.{asked} {resets}", headers=headers)


def usd(nanos: int) -> str:
    """Nano-dollars as "$1.25", exactly."""
    return f"${dollars(nanos)}" if nanos >= 0 else f"-${dollars(-nanos)}"
