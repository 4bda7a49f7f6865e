"""What an access line tells, as values; and its form for machines, for the encoder.

Values stand apart from the code that uses them: that is compiled (setup.py), and classes of msgspec cannot be.
"""

import msgspec

from proxy.ledger.record import Final


class Access(msgspec.Struct, gc=False):
    """One request as the line tells it. Durations are in microseconds."""

    time: int
    method: str
    path: str
    status: int
    request_id: str
    total: int
    key: str = ""
    final: Final | None = None


class Line(msgspec.Struct, gc=False):
    """A line for machines, of a request that has no bill."""

    time: str
    method: str
    path: str
    status: int
    request_id: str
    key: str | None
    total_ms: float


class BilledLine(Line, gc=False):
    """The same with the bill."""

    alias: str
    stream: bool
    outcome: str
    attempts: int
    input_tokens: int
    output_tokens: int
    usage_source: str
    cost_usd: str | None
    ttft_ms: float | None
    overhead_ms: float
    error_code: str | None
    #: The model that the client asked for, where that is no alias.
    requested_model: str | msgspec.UnsetType = msgspec.UNSET
