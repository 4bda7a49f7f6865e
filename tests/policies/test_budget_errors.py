"""What clients read when a budget refuses."""

from datetime import UTC, datetime

import pytest

from proxy.ledger.spending import Payers
from proxy.limits.budget import Pot, Rule
from proxy.limits.calendar import Calendar
from proxy.limits.counters import SharedCounters
from proxy.policies.budget_errors import exceeded, unpriced, usd

BERLIN = Pot(
    "one", Rule("The budget of this key", 10**10), Payers(), Calendar("day", "Europe/Berlin"), SharedCounters()
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


def test_it_names_all_that_one_must_know_and_when_to_come_back() -> None:
    moment = at("2026-12-01T22:30:00.5")
    error = exceeded(BERLIN.spending(moment), 50_000_000, 9_800_000_000, 300_000_000, moment)
    assert error.message == (
        "The budget of this key does not cover this request: $9.80 spent and $0.30 reserved of $10.00. This request "
        "may cost up to $0.05. It resets at 2026-12-02 00:00 (Europe/Berlin), in 30 min."
    )
    assert (error.status, error.type, error.code) == (429, "budget_exceeded", "rate_limit_exceeded")
    assert error.headers == {"x-should-retry": "false", "retry-after": "1800"}


def test_a_request_that_would_fit_with_fewer_tokens_is_told_so() -> None:
    moment = at("2026-12-01T12:00")
    error = exceeded(BERLIN.spending(moment), 300_000_000, 9_800_000_000, 0, moment)
    assert "This request may cost up to $0.30; a smaller max_tokens lowers that. It resets" in error.message


@pytest.mark.parametrize(("moment", "told"), [("2026-12-01T22:00", False), ("2026-12-01T22:00:01", True)])
def test_a_reset_that_is_an_hour_away_is_no_reason_to_wait(moment: str, told: bool) -> None:
    error = exceeded(BERLIN.spending(at(moment)), 1, 0, 0, at(moment))
    assert ("retry-after" in error.headers) == told
    assert "may cost up to" not in error.message


def test_an_unpriced_model_is_refused_with_what_to_do() -> None:
    assert unpriced("core", BERLIN).message == (
        "The model `core` has no price, and a budget applies to it: the budget of this key. Have the gateway's "
        'operator set a price for the model, or unpriced = "allow" in the budget.'
    )


def test_money_in_words() -> None:
    assert (usd(1_250_000_000), usd(-1), usd(0)) == ("$1.25", "-$0.000000001", "$0.00")
