"""Structs of the access log: the record of one request, and its JSON line. Never compiled: msgspec classes are not."""

import msgspec

from proxy.ledger.record import UsageRecord


class Access(msgspec.Struct, gc=False):
    """The access record of one request: UTC time and total in microseconds."""

    time: int
    method: str
    path: str
    status: int
    request_id: str
    total: int
    key: str = ""
    final: UsageRecord | None = None


class Line(msgspec.Struct, gc=False):
    """The JSON line of a request that has no usage record."""

    time: str
    method: str
    path: str
    status: int
    request_id: str
    key: str | None
    total_ms: float


class BilledLine(Line, gc=False):
    """The JSON line of a request with its usage record."""

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
    #: The model that the client requested, where that is no alias.
    requested_model: str | msgspec.UnsetType = msgspec.UNSET
