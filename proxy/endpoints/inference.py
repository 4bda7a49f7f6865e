"""The handler of inference endpoints: admits a request, reads its body and starts its exchange.

Nearly all requests are admitted inline, in the turn in which they arrived. One that has to wait, for a new key, for its
body or for a policy, goes on as a coroutine from where it stopped. No upstream is known here.
"""

import time
from asyncio import CancelledError
from functools import partial
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.auth.credentials import credential_digests
from proxy.clock.gil import in_turns
from proxy.config.tree import Server
from proxy.endpoints.head_facts import HeadFacts
from proxy.endpoints.table import MAX_AROUND_AUDIO, Row
from proxy.errors import ClientGone, GatewayError, GatewayStopped, InternalFault
from proxy.exchange.audio_length import AudioMeter
from proxy.exchange.context import ANONYMOUS, NO_BODY, RequestContext
from proxy.exchange.exchange import Exchange
from proxy.exchange.response_head import write_error
from proxy.exchange.services import Services
from proxy.exchange.upload import Upload
from proxy.exchange.upstream_origin import UpstreamOrigin
from proxy.ledger.estimator import LEARN_ALL, LEARN_EACH, Estimator
from proxy.policies.admission import Admission
from proxy.server.bodies import Holding
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.server.ids import new_request_id
from proxy.wire.content_encoding import inflate_in_steps
from proxy.wire.json_scan import STEP_BYTES, contains_rare
from proxy.wire.prism_headers import NO_PRISM_HEADERS, read_prism_headers
from proxy.wire.request_body import (
    MIN_CHUNKED_BYTES,
    parse_body,
    parse_body_in_steps,
    parse_body_without_model,
    parse_body_without_model_in_steps,
    text_bytes,
)
from proxy.wire.schemas import Body

#: Bytes of a body that is searched for content other than text.
MAX_SEARCHED_BYTES = 65_536


class Inference:
    """Serves the requests of one row."""

    def __init__(self, row: Row, admission: Admission, services: Services, audio: AudioMeter, server: Server) -> None:
        self._row = row
        self._spec = row.spec
        self._is_model_in_body = row.model == "body"
        self._admission = admission
        self._overload = admission.state.overload
        self._services = services
        #: Of the configuration that this handler belongs to.
        self._aliases = admission.state.aliases
        self._audio = audio
        self._max_body_bytes = server.max_body_bytes
        #: Largest file of a form, in bytes; 0 is any.
        self._max_file_bytes = 0
        if row.unit == "audio":
            self._max_file_bytes = server.max_audio_bytes
            self._max_body_bytes = min(server.max_body_bytes, server.max_audio_bytes + MAX_AROUND_AUDIO)

    def try_handle_inline(self, client: RequestCycle) -> ASGIApp | None:
        """Serve a request without a coroutine, and return None.

        For one that has to wait for anything but its upstream, return the application that goes on from there.
        """
        if not self._is_model_in_body:
            return self
        context = RequestContext(
            self._spec, id=new_request_id(), started=time.time_ns() // 1000, arrived=client.arrived
        )
        context.aliases = self._aliases
        try:
            if not self._advance(client, context, inline=True):
                return partial(self._serve, context, True)
            origin = context.origin or UpstreamOrigin(self._services, context)
            exchange = Exchange(self._services, context, origin, client)
        except GatewayError as error:
            self._refuse(client, context, error)
            return None
        except Exception:
            self._refuse(client, context, InternalFault())
            raise
        if context.large:
            self._count_later(client, context)
        try:
            exchange.start()
        except BaseException:
            exchange.interrupt()
            raise
        if not context.large:
            # The upstream works already.
            count_text(context, context.body.data, self._services.estimator)
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client: RequestCycle = scope["extensions"][EXTENSION]
        context = RequestContext(
            self._spec, id=new_request_id(), started=time.time_ns() // 1000, arrived=client.arrived
        )
        context.aliases = self._aliases
        await self._serve(context, False, scope, receive, send)

    async def _serve(self, context: RequestContext, waits: bool, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request as a coroutine; `waits` says that it stopped inline because it has to wait."""
        client: RequestCycle = scope["extensions"][EXTENSION]
        parameters = scope.get("path_params")
        named = unquote(parameters["model"]) if parameters else ""
        try:
            await self._admit(client, context, named, waits)
            origin = context.origin or UpstreamOrigin(self._services, context)
            exchange = Exchange(self._services, context, origin, client)
        except BaseException as error:
            if context.upload is not None:
                context.upload.close()
            if isinstance(error, GatewayError):
                self._refuse(client, context, error)
                return
            self._refuse(client, context, GatewayStopped() if isinstance(error, CancelledError) else InternalFault())
            raise
        upload = context.upload
        try:
            if upload is not None and self._row.unit == "audio" and may_need_length(context):
                upload.measure_with(self._audio)
            if context.large:
                self._count_later(client, context)
            try:
                exchange.start()
                if context.body.data and not context.large:
                    count_text(context, context.body.data, self._services.estimator)
                if upload is not None:
                    await follow(client, upload, exchange, context)
                else:
                    while (await receive())["type"] != "http.disconnect":
                        pass
            except BaseException:
                # The server's own deadline, or an internal fault: never an unsettled request.
                exchange.interrupt()
                raise
        finally:
            if upload is not None:
                upload.close()
        exchange.client_disconnected()

    # admission

    def _advance(self, client: RequestCycle, context: RequestContext, *, inline: bool) -> bool:
        """Admit a request as far as that goes without waiting; False where it has to `_wait`. No step is taken twice.

        Only `inline` it reads the body here. Raises `GatewayError`.
        """
        admission = self._admission
        if not context.path and not self._authenticate(client, context):
            return False
        if not admission.admit_head(context):
            return False
        if context.body is NO_BODY:
            facts = client.head.facts
            if not inline or facts.boundary is not None or facts.encoding:
                return False
            data = client.try_read_body(self._max_body_bytes)
            if data is None:
                return False
            context.body = parse_body(data)
            if self._row.creates or len(data) >= MIN_CHUNKED_BYTES:
                self._note_body(context)
        return admission.admit(context)

    async def _wait(self, client: RequestCycle, context: RequestContext, named: str) -> None:
        """Wait for what a request lacks to advance. Raises `GatewayError`."""
        admission, overload = self._admission, self._overload
        if context.key is ANONYMOUS:
            digests = credential_digests(client.head.headers)
            context.key = await admission.authenticate_async(digests, context.started / 1_000_000)
            return
        # Under way from here on; later by the exchange, which has a deadline.
        overload.others += 1
        try:
            if context.body is NO_BODY and admission.is_past_head(context):
                await self._read_body(client, context, named)
            else:
                await admission.wait(context)
        finally:
            overload.others -= 1

    async def _admit(self, client: RequestCycle, context: RequestContext, named: str, waits: bool) -> None:
        """Admit a request; `waits` says that it stopped inline because it has to wait. Raises `GatewayError`."""
        while waits or not self._advance(client, context, inline=False):
            waits = False
            await self._wait(client, context, named)
        if context.upload is not None and context.alias is not None:
            context.upload.refuse(context.alias.choosing)
        if client.disconnected:
            # While it waited.
            raise ClientGone("The client left before its request went on.")

    def _authenticate(self, client: RequestCycle, context: RequestContext) -> bool:
        """Find the key, and parse the head once for all requests with the same. Raises `GatewayError`."""
        head, row = client.head, self._row
        facts = head.facts
        known = isinstance(facts, HeadFacts) and facts.row is row
        digests = facts.digests if known else credential_digests(head.headers)
        if context.key is ANONYMOUS:
            key = self._admission.authenticate(digests, context.started / 1_000_000)
            if key is None:
                return False
            context.key = key
        if not known:
            facts = head.facts = HeadFacts(row, digests, head.headers, head.query)
        context.path = facts.path
        context.forwarded = facts.forwarded
        context.patience = facts.patience
        prism = facts.prism
        if prism is not NO_PRISM_HEADERS:
            context.apply_prism_headers(prism)
        return True

    # the body

    async def _read_body(self, client: RequestCycle, context: RequestContext, named: str) -> None:
        """Read and parse a body, or a form as far as its model. Raises `GatewayError`."""
        facts, bodies = client.head.facts, self._overload.bodies
        if facts.boundary is not None:
            context.upload = Upload(
                client,
                facts.boundary,
                self._max_body_bytes,
                client.content_length,
                bodies,
                named,
                self._max_file_bytes,
            )
            context.body = await self._read_form(client, context.upload)
            return
        here = client.try_read_body(self._max_body_bytes)
        data = here if here is not None else await client.read_body(self._max_body_bytes)
        if facts.encoding:
            with Holding(bodies) as holding:
                data = await in_turns(inflate_in_steps(data, facts.encoding, self._max_body_bytes, holding.require))
                context.body = await self._parse(data, named)
        else:
            context.body = await self._parse(data, named)
        self._note_body(context)

    def _note_body(self, context: RequestContext) -> None:
        """Set what few bodies bring."""
        body, row = context.body, self._row
        if len(body.data) >= MIN_CHUNKED_BYTES:
            context.large = True
        if row.creates:
            context.background = bytes(body.fields.get("background", b"")) == b"true"

    async def _parse(self, data: bytes, named: str) -> Body:
        """Parse a body; a large one does not block the event loop. Raises `InvalidRequest`."""
        streams = self._row.streams
        if self._is_model_in_body:
            return (
                parse_body(data, named) if len(data) < STEP_BYTES else await in_turns(parse_body_in_steps(data, named))
            )
        if len(data) < STEP_BYTES:
            return parse_body_without_model(data, named, streams)
        return await in_turns(parse_body_without_model_in_steps(data, named, streams))

    async def _read_form(self, client: RequestCycle, upload: Upload) -> Body:
        """Read a form as far as its model: the rest follows while it goes on. Raises `InvalidRequest`, `Overloaded`
        and `ClientGone`."""
        await client.feed_body(upload.receive, self._max_body_bytes)
        if client.disconnected:
            raise ClientGone("The client left while it sent its request.")
        if not client.more_body:
            upload.end()
        if upload.error is not None:
            raise upload.error
        assert upload.model is not None
        return Body({}, upload.model, upload.stream, wants_usage=True)

    # the end of admission

    def _count_later(self, client: RequestCycle, context: RequestContext) -> None:
        """Count the text of a large body while the upstream has it."""
        client.loop.call_soon(count_text, context, context.body.data, self._services.estimator)

    def _refuse(self, client: RequestCycle, context: RequestContext, error: GatewayError) -> None:
        """Settle a refused request, and respond with the error where there is still a client."""
        if not context.path:
            # Its head was not parsed to the end.
            context.apply_prism_headers(read_prism_headers(client.head.headers))
        write_error(client, context, self._admission.refuse(context, error))


async def follow(client: RequestCycle, upload: Upload, exchange: Exchange, context: RequestContext) -> None:
    """Follow a form that is sent on while it arrives, until the client has left or has its response."""
    cancelled = False
    while True:
        if not client.more_body and not upload.whole:
            upload.end()
            context.body = Body({}, context.body.model, upload.stream, wants_usage=True)
        if upload.error is not None and not cancelled:
            cancelled = True
            exchange.cancel(upload.error)
        if not await client.changed():
            return


def may_need_length(context: RequestContext) -> bool:
    """Whether the length of audio may be what a request is billed or limited by, or all that is known of it."""
    alias = context.alias
    return alias is None or alias.price is None or alias.price.millisecond is not None or context.held is not None


def count_text(context: RequestContext, data: bytes, estimator: Estimator) -> None:
    """Set what a bill may need of the body: the size of its text, if there is more in it, and the tier asked for.

    With the text counts the little JSON around each piece of it; not the model and the names of the fields, which are
    not given to the model, nor the base64 of data URLs.
    """
    fields = context.body.fields
    size = sum(map(len, fields.values()))
    if "model" in fields:
        size -= len(fields["model"])
    # From the end: in nearly all texts that is several times the speed of a search from the beginning.
    if contains_rare(data, b";base64,", b";") if context.large else data.rfind(b";base64,") >= 0:
        context.text_in = max(size - len(data) + text_bytes(data), 0)
    else:
        context.text_in = size
        turn = estimator.turn = estimator.turn + 1
        if turn <= LEARN_ALL or turn % LEARN_EACH == 0:
            # An image, a file or a sound has tokens that say nothing about the text; long bodies are not searched.
            context.plain = len(data) <= MAX_SEARCHED_BYTES and not (
                b"image_url" in data
                or b"file_id" in data
                or b'"input_file"' in data
                or b'"input_audio"' in data
                or b'"source"' in data
                or b"imeType" in data
                or b"mime_type" in data
            )
