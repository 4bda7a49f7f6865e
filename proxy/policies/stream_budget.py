"""StreamBudget: ends a running stream once its budget has no money left, where `on_exceed` is "stop_stream".

What the stream has cost is estimated from its bytes, by what the alias's streams had for each token. Its bill is what
the meter of the response says, as for each response that was cut.
"""

from typing import Final

from proxy.exchange.interfaces import ResponseObserver
from proxy.limits.budget import BudgetReservation
from proxy.limits.counters import SharedCounters
from proxy.limits.worst_case import OutputSizes
from proxy.policies.budget_errors import exceeded

#: Bytes of a stream between two looks at the budget: some tokens.
LOOK_BYTES: Final = 2_048


class StreamBudget(ResponseObserver):
    """Follows one stream. It must not stop one that its own reservation pays for."""

    def __init__(
        self,
        reservation: BudgetReservation,
        counters: SharedCounters,
        started: int,
        input_cost: int,
        sizes: OutputSizes,
        output_price: int,
        scale: int,
    ) -> None:
        """`started` is in microseconds since 1970, `input_cost` in nano-dollars; an output token costs
        `output_price` nano-dollars divided by `scale`."""
        self._reservation = reservation
        self._counters = counters
        self._started = started
        self._input_cost = input_cost
        self._sizes = sizes
        self._output_price = output_price
        self._scale = scale
        self._bytes = 0
        self._look_at = LOOK_BYTES

    def data(self, data: bytes) -> None:
        """Raises `BudgetExceeded` where the money is spent."""
        before = self._bytes
        sent = self._bytes = before + len(data)
        # What comes before anything was sent is made already, and is billed once it is sent.
        if sent < self._look_at or not before:
            return
        self._look_at = sent + LOOK_BYTES
        tokens = self._sizes.tokens_of_stream(sent)
        cost = self._input_cost + tokens * self._output_price // self._scale
        spending = self._reservation.overdrawn(self._counters, cost)
        if spending is not None:
            spent, reserved = spending.counts()
            raise exceeded(spending, 0, spent, reserved, self._started)
