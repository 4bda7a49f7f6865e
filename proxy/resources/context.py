"""One request for objects: who asks what, what was found out about it so far, and its bill at the end."""

import asyncio
import time

import msgspec

from proxy.auth.keys import Key
from proxy.errors import StoreFailed
from proxy.exchange.response_head import PROVIDER
from proxy.exchange.settlement import with_parts
from proxy.ledger.journal import Journal
from proxy.ledger.pricing import cost_of_parts
from proxy.ledger.record import Final, Opened, Outcome, Owned
from proxy.resources.account import Account
from proxy.resources.spec import ObjectRow
from proxy.routing.models import Alias
from proxy.server.cycle import RequestCycle
from proxy.wire.headers import Header
from proxy.wire.schemas import MAX_COUNT, MAX_NANO_DOLLARS, Usage

_NOTHING = Usage()
#: Outcomes of requests that the upstream has worked for, or may have.
_MADE = frozenset({"complete", "client_closed", "client_stalled"})


class ResourceContext(msgspec.Struct):
    """See the module."""

    id: str
    trace_id: str
    key: Key
    row: ObjectRow
    ids: dict[str, str]
    #: The raw query string.
    query: bytes
    headers: list[Header]
    client: RequestCycle
    #: UTC, in microseconds since 1970, and monotonic seconds.
    started: int
    arrived: float
    #: The objects that the path names, by the names of the ids; the last one is what the request is about.
    records: dict[str, Owned] = msgspec.field(default_factory=dict)
    #: The alias that the request, or what it names, was made with, and the upstream's model that stands for it.
    alias: str = ""
    model: str = ""
    account: Account | None = None
    #: It uploads the input of a batch, whose lines are looked at.
    uploads_batch: bool = False
    stream: bool = False
    attempts: int = 0
    #: Monotonic seconds at which the request left, and the answer's first byte did; 0 while it has not.
    sent: float = 0.0
    first_write: float = 0.0
    #: Seconds of waiting for the upstream.
    waited: float = 0.0
    usage: Usage | None = None
    #: The bill, once it is written.
    settled: Final | None = None

    @property
    def record(self) -> Owned | None:
        """The object that the request is about."""
        return next(reversed(self.records.values()), None)

    def opened(self) -> Opened:
        """The record of a call to the upstream that is about to be made."""
        self.attempts += 1
        assert self.account is not None
        return Opened(
            id=self.id,
            started=self.started,
            key=self.key.id,
            alias=self.alias,
            endpoint=self.row.path,
            upstream=self.account.name,
            upstream_model=self.model,
            stream=self.stream,
            attempt=self.attempts,
        )

    def final(self, alias: Alias | None, outcome: Outcome, status: int, error_code: str | None, pending: int) -> Final:
        """The bill. Only usage that is made here is billed: what is shown again was billed where it was made."""
        now = time.monotonic()
        usage = self.usage if self.row.bills and self.usage is not None else _NOTHING
        billed = usage is not _NOTHING
        nanos, lacking = self._cost(alias, usage, outcome, status)
        final = Final(
            id=self.id,
            started=self.started,
            key=self.key.id,
            alias=self.alias,
            endpoint=self.row.path,
            upstream=self.account.name if self.account is not None and self.attempts else "",
            upstream_model=self.model if self.attempts else "",
            stream=self.stream,
            status=status,
            outcome=outcome,
            attempts=self.attempts,
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            usage_source="reported" if billed else "none",
            cost=nanos,
            ttft=_microseconds(self.first_write - self.arrived) if self.first_write else None,
            total=_microseconds(now - self.arrived),
            overhead=_microseconds(max(now - self.arrived - self.waited, 0.0)),
            bytes_out=min(self.client.bytes_out + pending, MAX_COUNT),
            error_code=error_code,
        )
        return final if usage.parts is None and not lacking else with_parts(final, usage.parts, lacking)

    def _cost(self, alias: Alias | None, usage: Usage, outcome: Outcome, status: int) -> tuple[int | None, str]:
        """What the usage costs; None where something was made here that was not counted, or not all of it."""
        if usage is _NOTHING:
            begun = outcome in _MADE or (self.first_write != 0.0 and status < 400)
            made = (self.row.bills or self.row.starts) and self.attempts and begun
            return (None, "") if made else (0, "")
        if not usage.input_known or not usage.output_known:
            return None, "input" if usage.output_known else "output"
        nanos, lacking = cost_of_parts(alias.price if alias is not None else None, usage)
        return None if nanos is None else min(nanos, MAX_NANO_DOLLARS), lacking

    def fact_lines(self, *, model: str, provider: str) -> bytes:
        """What the gateway says of the request, as header lines."""
        latency = (time.monotonic() - self.arrived) * 1000
        lines = (
            f"x-request-id: {self.id}\r\nX-Prism-Request-Id: {self.id}\r\nX-Prism-Trace-Id: {self.trace_id}\r\n"
            f"X-Prism-Latency-Ms: {latency:.1f}\r\nX-Prism-Provider: {provider or PROVIDER}\r\n"
        )
        if model:
            lines += f"X-Prism-Model-Used: {model}\r\n"
        return lines.encode("latin-1", "replace")


async def store(journal: Journal, final: Final) -> None:
    """Write a bill, and wait until it is as durable as configured; one that cannot be written the journal owes."""
    durable = asyncio.get_running_loop().create_future()

    def told() -> None:
        if not durable.done():
            durable.set_result(None)

    try:
        journal.append(final, told)
    except StoreFailed:
        # The journal keeps it and refuses new work; this answer was already earned.
        return
    await durable


def _microseconds(seconds: float) -> int:
    return min(max(int(seconds * 1_000_000), 0), MAX_COUNT)
