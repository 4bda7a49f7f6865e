"""Doubles for the interfaces of an exchange: a downstream in memory, and an exchange on it without a gateway."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxy.auth.keys import Key
from proxy.clock.sweeper import TimeoutSweeper
from proxy.dialects.openai_chat import CHAT
from proxy.errors import GatewayError
from proxy.exchange.context import EndpointSpec, RequestContext
from proxy.exchange.exchange import Exchange
from proxy.exchange.interfaces import DownstreamBase, Origin, ResponseObserver
from proxy.exchange.services import Services
from proxy.exchange.settlement import local_record
from proxy.ledger.estimator import Estimator
from proxy.ledger.journal import Journal
from proxy.ledger.record import Outcome, UsageRecord
from proxy.routing.models import Alias
from proxy.wire.request_body import parse_body
from tests.routing.samples import alias_of


class MemoryDownstream(DownstreamBase):
    """Keeps what it is sent. It is full, and says so, each time that it has `room` more bytes; None is never."""

    def __init__(self, room: int | None = None) -> None:
        super().__init__()
        self.lines = b""
        self.length: int | None = None
        self.writes: list[bytes] = []
        self.ended = ""
        self._room = room
        self._left = room or 0

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        assert not self.writes
        self.status, self.lines, self.length = status, lines, length

    def write(self, data: bytes, last: bool) -> None:
        assert self.status
        assert not self.ended
        self.writes.append(data)
        self.bytes_out += len(data)
        if last:
            self.ended = "whole"
        elif self._room is not None:
            self._left -= len(data)
            if self._left <= 0:
                assert self.producer is not None
                self.producer.pause()

    def abort(self) -> None:
        self.ended = "aborted"

    def fail(self, fault: BaseException) -> None:
        self.ended = f"failed: {fault}"

    def drain(self) -> None:
        """Whatever was written has left."""
        self._left = self._room or 0
        assert self.producer is not None
        self.producer.resume()

    @property
    def body(self) -> bytes:
        return b"".join(self.writes)


class ScriptedOrigin(Origin):
    """Does what it is told to when it is started; notes what it is asked."""

    def __init__(self, context: RequestContext, script: Callable[[Exchange], None], reads_on: bool = False) -> None:
        self._context = context
        self._script = script
        self._reads_on = reads_on
        self.calls: list[str] = []
        self.provider, self.model, self.first_byte_limit = "vendor", "vendor-model", 30.0

    def start(self, exchange: Any) -> None:
        self._script(exchange)

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def client_left(self, stalled: bool) -> bool:
        self.calls.append("client left")
        return self._reads_on

    def cancel(self) -> None:
        self.calls.append("cancel")

    def final(
        self, outcome: Outcome, error_code: str | None, status: int, first_write: float, bytes_out: int
    ) -> UsageRecord:
        self.calls.append("final")
        return local_record(self._context, outcome, error_code, status, first_write, bytes_out)


def context_of(stream: bool = True, *observers: ResponseObserver, alias: Alias | None = None) -> RequestContext:
    spec = EndpointSpec(path="/v1/chat/completions", dialect=CHAT, capabilities=frozenset({"chat"}), may_ask_usage=True)
    context = RequestContext(
        spec,
        id="req_1",
        trace_id="req_1",
        key=Key(id="key_1", name="one", models=None, created=0, expires=None),
        path=b"/chat/completions",
        body=parse_body(b'{"model":"core","stream":true}' if stream else b'{"model":"core"}'),
        forwarded=b"",
        started=0,
        arrived=time.monotonic(),
    )
    context.alias = alias_of("vendor") if alias is None else alias
    context.targets = context.alias.targets
    context.observers = observers
    return context


class Bench:
    """Runs exchanges on a journal of their own, and keeps what was settled."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.settled: list[UsageRecord] = []
        self.failures: list[str] = []
        self.services = Services(
            journal=journal,
            estimator=Estimator(),
            deadlines=TimeoutSweeper(),
            settled=self._settled,
            attempt_lost=self._attempt_lost,
            attempt_failed=self._attempt_failed,
            expose_upstream=False,
            max_event_bytes=1_000_000,
            drain_max_seconds=1.0,
            drain_max_tokens=1_000,
        )

    def _settled(self, context: RequestContext, final: UsageRecord) -> None:
        self.settled.append(final)

    def _attempt_lost(self, context: RequestContext, row: UsageRecord) -> None:
        self.settled.append(row)

    def _attempt_failed(self, context: RequestContext, target: str, error: GatewayError) -> None:
        self.failures.append(target)

    def run(self, context: RequestContext, origin: Origin, downstream: MemoryDownstream | None = None) -> "Run":
        """Start an exchange."""
        downstream = downstream or MemoryDownstream()
        exchange = Exchange(self.services, context, origin, downstream)
        exchange.start()
        return Run(exchange, downstream)

    def script(self, context: RequestContext, script: Callable[[Exchange], None], reads_on: bool = False) -> "Run":
        """Start an exchange with an origin that does this."""
        origin = ScriptedOrigin(context, script, reads_on)
        run = self.run(context, origin)
        run.calls = origin.calls
        return run

    @property
    def outcomes(self) -> list[tuple[str, int]]:
        return [(final.outcome, final.status) for final in self.settled]


class Run:
    def __init__(self, exchange: Exchange, downstream: MemoryDownstream) -> None:
        self.exchange = exchange
        self.downstream = downstream
        self.calls: list[str] = []


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    journal = Journal(folder, durability="process")
    try:
        yield Bench(journal)
    finally:
        journal.close()
