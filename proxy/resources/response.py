"""How an answer about objects reaches its client: whole, as events or as a file, billed before its last byte.

What upstream said is judged here, and what is left to do when something breaks on the way.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from proxy.dialects.openai_chat import CHAT, error_event
from proxy.dialects.openai_responses import TypedMeter
from proxy.dialects.upstream_errors import error_summary, relayed_error
from proxy.errors import ClientGone, GatewayError, UpstreamDropped, UpstreamFailed
from proxy.exchange.response_head import DISPOSITION, UNBUFFERED, may_show_limits, outcome_of, timestamp, without_models
from proxy.exchange.services import Services
from proxy.ledger.record import BATCH_INPUT, Outcome
from proxy.resources.batch_files import BatchDown
from proxy.resources.capture import UNNAMED, ResourceResponseRewriter
from proxy.resources.context import ResourceContext, store
from proxy.resources.events import RunMeter
from proxy.routing.models import Alias
from proxy.upstream.client import UpstreamRequest
from proxy.wire.headers import Header, header_value, response_lines
from proxy.wire.json_rewrite import SSERewriter

MAX_ERROR_BODY = 65_536
JSON_HEADERS: Final = ((b"content-type", b"application/json"),)


class ResourceResponder:
    """See the module."""

    def __init__(
        self,
        taking: ResourceResponseRewriter,
        aliases: Mapping[str, Alias],
        services: Services,
        max_body_bytes: int,
        failed: Callable[[str, str, GatewayError], None],
    ) -> None:
        """`failed` is told of every failed call: the request's id, the upstream's name, and why."""
        self._taking = taking
        self._aliases = aliases
        self._services = services
        self._max_body_bytes = max_body_bytes
        self._failed = failed

    async def answer(self, visit: ResourceContext, upstream: UpstreamRequest) -> None:
        if not 200 <= upstream.status < 300:
            await self.refused(visit, upstream)
            return
        kind = (header_value(upstream.headers, b"content-type") or b"").lower()
        if visit.row.reply == "bytes":
            await self._bytes(visit, upstream)
        elif kind.startswith(b"text/event-stream") and visit.row.reply == "json or events":
            await self._events(visit, upstream)
        else:
            before = time.monotonic()
            data = await upstream.read(self._max_body_bytes)
            visit.waited += time.monotonic() - before
            shown = await self._taking.answer(visit, data)
            await self.respond(visit, upstream.status, upstream.headers, shown, "complete", None)

    async def refused(self, visit: ResourceContext, upstream: UpstreamRequest) -> None:
        """Pass the upstream's error on, if it is one that a client may see. Raises `UpstreamFailed` for any other."""
        status = upstream.status
        data = await upstream.read_prefix(MAX_ERROR_BODY)
        refusal = relayed_error(
            CHAT,
            status,
            upstream.headers,
            data,
            self._taking.names(visit),
            limits=may_show_limits(status),
            request_id=visit.id,
            timestamp=timestamp(),
        )
        self._tell(visit, UpstreamFailed("It answered with an error.", detail=error_summary(status, data)))
        await self._finish(visit, status, refusal.lines, refusal.body, "upstream_error", refusal.code)

    async def respond(
        self,
        visit: ResourceContext,
        status: int,
        headers: Iterable[Header],
        body: bytes,
        outcome: Outcome,
        code: str | None,
    ) -> None:
        """Bill, and then write, a whole answer."""
        await self._finish(visit, status, self._relayed(visit, headers), body, outcome, code)

    async def _finish(
        self, visit: ResourceContext, status: int, lines: bytes, body: bytes, outcome: Outcome, code: str | None
    ) -> None:
        visit.first_write = time.monotonic()
        await self.settle(visit, outcome, status, code, len(body))
        visit.client.begin(status, lines + self._facts(visit), len(body))
        visit.client.write(body, True)

    async def _bytes(self, visit: ResourceContext, upstream: UpstreamRequest) -> None:
        """A file, as it comes; the lines of a batch with the alias put back."""
        record = visit.record
        lines = None
        length: int | None = None
        announced = header_value(upstream.headers, b"content-length")
        if record is not None and record.kind in ("file", BATCH_INPUT) and record.alias:
            lines = BatchDown(record.alias, record.model, self._max_body_bytes)
        elif announced is not None and announced.isdigit():
            length = int(announced)
        held = b""
        async for piece in upstream.chunks():
            if held:
                await self._write(visit, upstream, held, length)
            held = lines.feed(piece) if lines is not None else piece
        held += lines.end() if lines is not None else b""
        await self.settle(visit, "complete", upstream.status, None, len(held))
        self._begin(visit, upstream, length)
        visit.client.write(held, True)

    async def _events(self, visit: ResourceContext, upstream: UpstreamRequest) -> None:
        """A stream of events with the alias put back, each recorded before it leaves."""
        visit.stream = True
        record = visit.record
        alias = visit.alias or (record.alias if record is not None else "") or UNNAMED
        of_run = not visit.row.path.startswith("/v1/responses")
        meter: TypedMeter | RunMeter = TypedMeter(alias, visit.model, False)
        if of_run:
            meter = RunMeter(alias, visit.model)
        if visit.account is not None:
            meter.hidden = visit.account.target.hidden
        rewriter = SSERewriter(meter, alias, self._services.max_event_bytes)
        out = b""
        try:
            async for piece in upstream.chunks():
                out = rewriter.feed(piece)
                if isinstance(meter, RunMeter):
                    await self._taking.made(visit, meter)
                if meter.ended or meter.terminal:
                    break
                await self._write(visit, upstream, out, None)
                out = b""
            if not (meter.ended or meter.terminal):
                out = rewriter.end()
                if isinstance(meter, RunMeter):
                    await self._taking.made(visit, meter)
        finally:
            # Also of a client that leaves behind it.
            visit.usage = meter.usage()
        if not (meter.ended or meter.finished):
            raise UpstreamDropped("The provider ended the answer early.", detail="not whole")
        await self.settle(visit, "upstream_error" if meter.failed else "complete", upstream.status, None, len(out))
        self._begin(visit, upstream, None)
        visit.client.write(out, True)

    def _begin(self, visit: ResourceContext, upstream: UpstreamRequest, length: int | None) -> None:
        """The first bytes are about to leave: from now on an error can only cut."""
        if not visit.client.response_started:
            visit.first_write = time.monotonic()
            lines = self._relayed(visit, upstream.headers) + (UNBUFFERED if visit.stream else b"")
            visit.client.begin(upstream.status, lines + self._facts(visit), length)

    async def _write(self, visit: ResourceContext, upstream: UpstreamRequest, data: bytes, length: int | None) -> None:
        """Give the client more of its answer, no faster than it takes it."""
        if not data:
            return
        self._begin(visit, upstream, length)
        visit.client.write(data, False)
        await visit.client.drain()

    def _relayed(self, visit: ResourceContext, headers: Iterable[Header]) -> bytes:
        lines = response_lines(headers)
        return without_models(lines, self._taking.names(visit)) if DISPOSITION in lines else lines

    def _facts(self, visit: ResourceContext) -> bytes:
        expose = self._services.expose_upstream and visit.account is not None
        return visit.fact_lines(
            model=visit.model if expose else visit.alias,
            provider=visit.account.name if expose and visit.account is not None else "",
        )

    async def settle(
        self, visit: ResourceContext, outcome: Outcome, status: int, code: str | None, pending: int = 0
    ) -> None:
        """Write the bill, once."""
        if visit.settled is None:
            visit.settled = visit.final(self._aliases.get(visit.alias), outcome, status, code, pending)
            await store(self._services.journal, visit.settled)

    def _tell(self, visit: ResourceContext, error: GatewayError) -> None:
        """Let the log say why a call to the upstream failed."""
        if visit.account is not None and visit.attempts:
            self._failed(visit.id, f"{visit.account.name}/{visit.model}".rstrip("/"), error)

    async def fail(self, visit: ResourceContext, error: GatewayError) -> bool:
        """End a request with an error; whether the caller is still to answer it."""
        client = visit.client
        self._tell(visit, error)
        outcome = outcome_of(error)
        begun = client.response_started
        if isinstance(error, ClientGone):
            await self.settle(visit, "client_stalled" if client.stalled else "client_closed", 499, error.code)
            return False
        if not begun:
            await self.settle(visit, outcome, error.status, error.code)
            return True
        await self.settle(
            visit, outcome if outcome in ("timeout", "gateway_shutdown") else "upstream_cut", client.status, error.code
        )
        if visit.stream:
            client.write(error_event(error, visit.id, timestamp()), False)
        client.abort()
        return False
