"""The response of a resource endpoint: whole, as events or as a file, billed before its last byte is sent.

It also ends a request that fails: with an error that can still be sent, or by cutting a response that has begun.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping

from proxy.dialects.openai_chat import CHAT, error_event
from proxy.dialects.openai_responses import ResponsesMeter
from proxy.dialects.upstream_errors import error_summary, relayed_error
from proxy.errors import ClientGone, GatewayError, StoreFailed, UpstreamDropped, UpstreamFailed
from proxy.exchange.attempt import MAX_ERROR_BODY_BYTES
from proxy.exchange.response_head import (
    DISPOSITION,
    NO_MODEL,
    PROVIDER,
    UNBUFFERED,
    fact_lines,
    may_show_limits,
    outcome_of,
    timestamp,
    without_models,
)
from proxy.exchange.services import Services
from proxy.exchange.settlement import resource_record, with_tries
from proxy.ledger.record import BATCH_INPUT, Outcome
from proxy.resources.batch_files import BatchDownload
from proxy.resources.capture import UNNAMED, ResourceResponseRewriter, RunMeter
from proxy.resources.request import ResourceRequest
from proxy.routing.models import Alias
from proxy.upstream.client import UpstreamRequest
from proxy.wire.headers import Header, header_value, response_lines
from proxy.wire.json_rewrite import SSERewriter


class ResourceResponder:
    """Writes responses to the client, each after its bill."""

    def __init__(
        self,
        rewriter: ResourceResponseRewriter,
        aliases: Mapping[str, Alias],
        services: Services,
        max_body_bytes: int,
    ) -> None:
        self._rewriter = rewriter
        self._aliases = aliases
        self._services = services
        self._max_body_bytes = max_body_bytes

    async def respond(self, request: ResourceRequest, upstream: UpstreamRequest) -> None:
        """Relay the upstream's response. Raises `UpstreamFailed`, also after its beginning."""
        if not 200 <= upstream.status < 300:
            await self.relay_error(request, upstream)
            return
        kind = (header_value(upstream.headers, b"content-type") or b"").lower()
        if request.row.response == "bytes":
            await self._relay_file(request, upstream)
        elif kind.startswith(b"text/event-stream") and request.row.response == "json or events":
            await self._relay_events(request, upstream)
        else:
            with request.calls.waiting():
                data = await upstream.read(self._max_body_bytes)
            body = await self._rewriter.rewrite(request, data)
            await self.send(request, upstream.status, self._relayed_lines(request, upstream.headers), body)

    async def relay_error(self, request: ResourceRequest, upstream: UpstreamRequest) -> None:
        """Relay the upstream's error, if a client may see it. Raises `UpstreamFailed` for any other."""
        status = upstream.status
        data = await upstream.read_prefix(MAX_ERROR_BODY_BYTES)
        error = relayed_error(
            CHAT,
            status,
            upstream.headers,
            data,
            self._rewriter.names(request),
            limits=may_show_limits(request.context, status),
            request_id=request.context.id,
            timestamp=timestamp(),
        )
        self._log(request, UpstreamFailed("It answered with an error.", detail=error_summary(status, data)))
        await self.send(request, status, error.lines, error.body, "upstream_error", error.code)

    async def send(
        self,
        request: ResourceRequest,
        status: int,
        lines: bytes,
        body: bytes,
        outcome: Outcome = "complete",
        error_code: str | None = None,
    ) -> None:
        """Bill, and then send, a whole response."""
        request.calls.first_write = time.monotonic()
        await self._settle(request, outcome, status, error_code, len(body))
        request.client.begin(status, lines + self._gateway_lines(request), len(body))
        request.client.write(body, True)

    async def _relay_file(self, request: ResourceRequest, upstream: UpstreamRequest) -> None:
        """Relay a file in chunks, with the alias put back into that of a batch."""
        record = request.record
        batch = None
        length: int | None = None
        announced = header_value(upstream.headers, b"content-length")
        if record is not None and record.kind in ("file", BATCH_INPUT) and record.alias:
            batch = BatchDownload(record.alias, record.model, self._max_body_bytes)
        elif announced is not None and announced.isdigit():
            length = int(announced)
        held = b""
        async for chunk in upstream.chunks():
            if held:
                await self._write(request, upstream, held, length)
            held = batch.feed(chunk) if batch is not None else chunk
        held += batch.end() if batch is not None else b""
        await self._end(request, upstream, held, length)

    async def _relay_events(self, request: ResourceRequest, upstream: UpstreamRequest) -> None:
        """Relay a stream of events with the alias put back; what each creates is recorded before it is sent."""
        request.streams = True
        record = request.record
        alias = request.alias or (record.alias if record is not None else "") or UNNAMED
        meter: ResponsesMeter | RunMeter = RunMeter(alias, request.model)
        if request.row.path.startswith("/v1/responses"):
            meter = ResponsesMeter(alias, request.model, False)
        assert request.target is not None
        meter.hidden = request.target.hidden
        rewriter = SSERewriter(meter, alias, self._services.max_event_bytes)
        out = b""
        try:
            async for chunk in upstream.chunks():
                out = rewriter.feed(chunk)
                if isinstance(meter, RunMeter):
                    await self._rewriter.record_events(request, meter)
                if meter.ended or meter.terminal:
                    break
                await self._write(request, upstream, out, None)
                out = b""
            if not (meter.ended or meter.terminal):
                out = rewriter.end()
                if isinstance(meter, RunMeter):
                    await self._rewriter.record_events(request, meter)
        finally:
            # Also for a client that disconnects behind it.
            request.usage = meter.usage()
        if not (meter.ended or meter.finished):
            raise UpstreamDropped("The provider ended the answer early.", detail="not whole")
        await self._end(request, upstream, out, None, "upstream_error" if meter.failed else "complete")

    async def _end(
        self,
        request: ResourceRequest,
        upstream: UpstreamRequest,
        last: bytes,
        length: int | None,
        outcome: Outcome = "complete",
    ) -> None:
        """Bill a response, and then send its last bytes."""
        await self._settle(request, outcome, upstream.status, None, len(last))
        self._begin(request, upstream, length)
        request.client.write(last, True)

    def _begin(self, request: ResourceRequest, upstream: UpstreamRequest, length: int | None) -> None:
        """Send the head, once: from now on a response that fails can only be cut."""
        if not request.client.response_started:
            request.calls.first_write = time.monotonic()
            lines = self._relayed_lines(request, upstream.headers) + (UNBUFFERED if request.streams else b"")
            request.client.begin(upstream.status, lines + self._gateway_lines(request), length)

    async def _write(
        self, request: ResourceRequest, upstream: UpstreamRequest, data: bytes, length: int | None
    ) -> None:
        """Send more of the body, no faster than the client reads it."""
        if not data:
            return
        self._begin(request, upstream, length)
        request.client.write(data, False)
        await request.client.drain()

    def _relayed_lines(self, request: ResourceRequest, headers: Iterable[Header]) -> bytes:
        lines = response_lines(headers)
        return without_models(lines, self._rewriter.names(request)) if DISPOSITION in lines else lines

    def _gateway_lines(self, request: ResourceRequest) -> bytes:
        assert request.target is not None
        model, provider = request.alias, PROVIDER
        if self._services.expose_upstream:
            model, provider = request.model, request.upstream
        timeout = min(request.target.first_byte_timeout, request.context.patience)
        return fact_lines(request.context, model=model or NO_MODEL, provider=provider, timeout=timeout)

    async def _settle(
        self, request: ResourceRequest, outcome: Outcome, status: int, error_code: str | None, pending: int = 0
    ) -> None:
        """Write the bill, once, and wait until it is durable; `pending` bytes are still to be sent."""
        if request.final is not None:
            return
        row, calls = request.row, request.calls
        alias = self._aliases.get(request.alias)
        request.final = resource_record(
            request.context,
            alias=request.alias,
            price=alias.price if alias is not None else None,
            upstream=request.upstream,
            upstream_model=request.model,
            usage=request.usage if row.bills else None,
            is_paid=row.bills or row.starts,
            outcome=outcome,
            error_code=error_code,
            status=status,
            attempts=calls.attempts,
            waited=calls.waited,
            first_write=calls.first_write,
            bytes_out=request.client.bytes_out + pending,
        )
        if request.context.tries:
            request.final = with_tries(request.context, request.final)
        durable = asyncio.Event()
        try:
            self._services.journal.append(request.final, durable.set)
        except StoreFailed:
            # The journal keeps it and refuses new work; this response was already earned.
            return
        await durable.wait()

    def _log(self, request: ResourceRequest, error: GatewayError) -> None:
        """Log why a call to the upstream failed."""
        if request.calls.attempts:
            label = f"{request.upstream}/{request.model}".rstrip("/")
            self._services.attempt_failed(request.context, label, error)

    async def fail(self, request: ResourceRequest, error: GatewayError) -> bool:
        """Bill a request that has failed, and cut its response if it has begun; whether the error can still be sent."""
        client = request.client
        self._log(request, error)
        if isinstance(error, ClientGone):
            await self._settle(request, "client_stalled" if client.stalled else "client_closed", 499, error.code)
            return False
        outcome = outcome_of(error)
        if not client.response_started:
            await self._settle(request, outcome, error.status, error.code)
            return True
        if outcome not in ("timeout", "gateway_shutdown"):
            outcome = "upstream_cut"
        await self._settle(request, outcome, client.status, error.code)
        if request.streams:
            client.write(error_event(error, request.context.id, timestamp()), False)
        client.abort()
        return False
