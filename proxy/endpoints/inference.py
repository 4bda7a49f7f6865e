"""The handler of every row that is forwarded: read, look, admit, and hand over to the relay.

It waits for two things only: the request's body, and the client's leaving.
"""

import contextlib
import time
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from proxy.auth.credentials import digests_of, found
from proxy.auth.keys import Key
from proxy.clock.gil import in_turns
from proxy.endpoints.gateway import Shared
from proxy.endpoints.head_facts import HeadFacts
from proxy.endpoints.table import MAX_AROUND_AUDIO, Row
from proxy.errors import ClientGone, GatewayError, StoreFailed, UnknownKey
from proxy.exchange.context import RequestContext
from proxy.exchange.exchange import Exchange
from proxy.exchange.response_head import PROVIDER, header_lines, outcome_of, timestamp
from proxy.exchange.settlement import refused_record
from proxy.exchange.upload import Upload
from proxy.exchange.upstream_origin import UpstreamOrigin
from proxy.ledger.estimator import LEARN_ALL, LEARN_EACH, Estimator
from proxy.ledger.record import Final
from proxy.observability.schemas import Access
from proxy.policies import ownership
from proxy.policies.response_ids import ResponseIdCapture
from proxy.routing.models import Alias
from proxy.server.bodies import Holding
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.server.ids import new_request_id
from proxy.wire.content_encoding import inflate_in_steps
from proxy.wire.json_scan import STEP_BYTES, contains_rare
from proxy.wire.request_body import (
    MIN_CHUNKED_BYTES,
    parse_body,
    parse_body_in_steps,
    parse_body_without_model,
    parse_body_without_model_in_steps,
    text_bytes,
)
from proxy.wire.schemas import Body
from proxy.wire.usage import tier_in

#: Bytes of a body that is searched for what is no text.
MAX_SEARCHED = 65_536


class Inference:
    """Serves one row."""

    def __init__(self, row: Row, shared: Shared) -> None:
        self._row = row
        self._shared = shared
        self._max_body_bytes = shared.max_body_bytes
        #: Largest file of a form, in bytes; 0 is any.
        self._max_file = 0
        if row.unit == "audio":
            self._max_file = shared.max_audio_bytes
            self._max_body_bytes = min(shared.max_body_bytes, shared.max_audio_bytes + MAX_AROUND_AUDIO)

    def try_handle_inline(self, client: RequestCycle) -> bool:
        """Serve a request that is all here, without a coroutine; False, and nothing done, where it has to wait for more
        than its client: then it is to be called as an application."""
        if self._row.model != "body":
            return False
        request_id, started = new_request_id(), time.time_ns() // 1000
        key: Key | None = None
        body: Body | None = None
        try:
            key, digests = self._authenticate(client, started)
            self._shared.overload.admit()
            facts = self._facts(client, digests)
            here = facts.boundary is None and not facts.encoding
            data = client.try_read_body(self._max_body_bytes) if here else None
            if data is None:
                return False
            body = parse_body(data)
            call = self._call(client, facts, request_id, key, body, data, started)
            self._admit(call)
            if call.references:
                client.body.put_back(data)
                return False
        except GatewayError as error:
            if isinstance(error, UnknownKey) and self._shared.keys.may_catch_up:
                return False
            self._refuse(client, request_id, started, key, body, error)
            return True
        exchange = self._exchange(client, call, data)
        try:
            exchange.start()
        except BaseException:
            exchange.interrupt()
            raise
        if not call.large:
            # The upstream works already.
            count_text(call, data, self._shared.services.estimator)
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client: RequestCycle = scope["extensions"][EXTENSION]
        row, shared = self._row, self._shared
        parameters = scope.get("path_params")
        named = unquote(parameters["model"]) if parameters else ""
        request_id, started = new_request_id(), time.time_ns() // 1000
        key: Key | None = None
        body: Body | None = None
        upload: Upload | None = None
        data = b""
        waits = False
        try:
            with contextlib.suppress(UnknownKey):
                key, digests = self._authenticate(client, started)
            if key is None:
                await shared.keys.catch_up()
                key, digests = self._authenticate(client, started)
            shared.overload.admit()
            # Under way from here on; later by the exchange, which has a deadline.
            shared.overload.others += 1
            waits = True
            facts = self._facts(client, digests)
            if facts.boundary is None:
                here = client.try_read_body(self._max_body_bytes)
                data = here if here is not None else await client.read_body(self._max_body_bytes)
                if facts.encoding:
                    with Holding(shared.overload.bodies) as holding:
                        steps = inflate_in_steps(data, facts.encoding, self._max_body_bytes, holding.require)
                        data = await in_turns(steps)
                        body = await self._peek(data, named)
                else:
                    body = await self._peek(data, named)
            else:
                upload = Upload(
                    client,
                    facts.boundary,
                    self._max_body_bytes,
                    client.announced(),
                    shared.overload.bodies,
                    named,
                    self._max_file,
                )
                body = await self._read_form(client, upload)
            call = self._call(client, facts, request_id, key, body, data, started)
            call.upload = upload
            self._admit(call)
            if upload is not None and call.alias is not None:
                upload.refuse(call.alias.choosing)
            if call.references:
                await ownership.admit(shared.owners, call)
            if client.disconnected:
                # While its body was inflated or looked at, or the owners were asked for.
                raise ClientGone("The client left before its request went on.")
        except BaseException as error:
            if upload is not None:
                upload.close()
            if not isinstance(error, GatewayError):
                raise
            self._refuse(client, request_id, started, key, body, error)
            return
        finally:
            shared.overload.others -= waits
        try:
            if upload is not None and row.unit == "audio" and call.alias is not None and may_need_length(call.alias):
                upload.measure_with(shared.audio)
            exchange = self._exchange(client, call, data)
            try:
                exchange.start()
                if data and not call.large:
                    count_text(call, data, shared.services.estimator)
                del data, body
                if upload is not None:
                    await follow(client, upload, exchange, call)
                else:
                    while (await receive())["type"] != "http.disconnect":
                        pass
            except BaseException:
                # The server's own deadline, or a fault of ours: never an unsettled request.
                exchange.interrupt()
                raise
        finally:
            if upload is not None:
                upload.close()
        exchange.client_disconnected()

    def _authenticate(self, client: RequestCycle, started: int) -> tuple[Key, tuple[bytes, ...]]:
        """The key of a request, and what it was found by. Raises `AuthenticationFailed`, `InvalidRequest` for two."""
        shared, facts = self._shared, client.head.facts
        digests = facts.digests if isinstance(facts, HeadFacts) else digests_of(client.head.headers)
        return found(shared.keys, digests, started / 1_000_000), digests

    def _facts(self, client: RequestCycle, digests: tuple[bytes, ...]) -> HeadFacts:
        """What the head says; read once for all requests with the same. Raises `InvalidRequest`."""
        head, row = client.head, self._row
        facts = head.facts
        if isinstance(facts, HeadFacts) and facts.row is row:
            return facts
        facts = HeadFacts(row, digests, head.headers, head.query)
        head.facts = facts
        return facts

    def _admit(self, call: RequestContext) -> None:
        """Ask all policies. Raises `GatewayError`."""
        shared, row = self._shared, self._row
        for policy in shared.policies:
            policy.admit(call)
        if row.creates and bytes(call.body.fields.get("background", b"")) == b"true":
            call.background = True
        # What is not stored cannot be asked for again.
        if row.creates and bytes(call.body.fields.get("store", b"")) != b"false":
            assert call.alias is not None
            limit = shared.services.max_event_bytes
            capture = ResponseIdCapture(shared.owners, call.key.id, row.creates, call.alias.name, limit)
            call.observers = (*call.observers, capture)

    def _exchange(self, client: RequestCycle, call: RequestContext, data: bytes) -> Exchange:
        alias = call.alias
        assert alias is not None
        if call.large:
            # The text of a large body is counted while the upstream has it.
            client.loop.call_soon(count_text, call, data, self._shared.services.estimator)
        return Exchange(self._shared.services, call, UpstreamOrigin(self._shared.services, call), client)

    async def _peek(self, data: bytes, named: str) -> Body:
        """Look at a body; a large one does not hold the event loop. Raises `InvalidRequest`."""
        streams = self._row.streams
        if self._row.model == "body":
            return (
                parse_body(data, named) if len(data) < STEP_BYTES else await in_turns(parse_body_in_steps(data, named))
            )
        if len(data) < STEP_BYTES:
            return parse_body_without_model(data, named, streams)
        return await in_turns(parse_body_without_model_in_steps(data, named, streams))

    async def _read_form(self, client: RequestCycle, upload: Upload) -> Body:
        """A form as far as its model: the rest follows while it goes on. Raises `InvalidRequest`, `Overloaded` and
        `ClientGone`."""
        await client.feed_body(upload.piece, self._max_body_bytes)
        if client.disconnected:
            raise ClientGone("The client left while it sent its request.")
        if not client.more_body:
            upload.end()
        if upload.error is not None:
            raise upload.error
        assert upload.model is not None
        return Body({}, upload.model, upload.stream, wants_usage=True)

    def _call(
        self, client: RequestCycle, facts: HeadFacts, request_id: str, key: Key, body: Body, data: bytes, started: int
    ) -> RequestContext:
        row = self._row
        large = len(data) >= MIN_CHUNKED_BYTES
        call = RequestContext(
            id=request_id,
            trace_id=facts.trace_id or request_id,
            key=key,
            endpoint=row.path,
            dialect=row.dialect,
            path=facts.path,
            may_ask_usage=row.usage_option,
            capabilities=row.capabilities,
            body=body,
            forwarded=facts.forwarded,
            started=started,
            arrived=client.arrived,
            naming=row.naming,
            unit=row.unit,
            opaque=row.opaque,
            patience=facts.patience,
        )
        if large:
            call.large = True
        return call

    def _refuse(
        self,
        client: RequestCycle,
        request_id: str,
        started: int,
        key: Key | None,
        body: Body | None,
        error: GatewayError,
    ) -> None:
        """Answer with an error; a request that a known key made has its row too."""
        shared = self._shared
        total = int((time.monotonic() - client.arrived) * 1_000_000)
        final: Final | None = None
        if key is not None:
            final = refused_record(
                request_id=request_id,
                started=started,
                key=key.id,
                # A client could send anything: what is no name of the configuration is stored apart.
                alias=body.model if body is not None and body.model in shared.aliases else "",
                endpoint=self._row.path,
                stream=body is not None and body.stream,
                outcome=outcome_of(error),
                status=error.status,
                error_code=error.code,
                total=total,
                requested_model=body.model if body is not None else "",
            )
            if not isinstance(error, StoreFailed):
                try:
                    shared.services.journal.append(final)
                except StoreFailed as failure:
                    error = failure
        if not isinstance(error, ClientGone):
            answer_error(client, self._row, request_id, error)
        shared.access.add(
            Access(
                time=started,
                method=client.head.method,
                path=self._row.path,
                status=error.status,
                request_id=request_id,
                total=total,
                key=key.name if key is not None else "",
                final=final,
            )
        )


def answer_error(client: RequestCycle, row: Row, request_id: str, error: GatewayError) -> None:
    """Write an error of the gateway's own, in the row's dialect."""
    body = row.dialect.error_body(error, request_id, timestamp())
    lines = (
        f"content-type: application/json\r\nx-request-id: {request_id}\r\n"
        f"X-Prism-Request-Id: {request_id}\r\nX-Prism-Provider: {PROVIDER}\r\n"
    ).encode()
    client.begin(error.status, lines + header_lines(error), len(body))
    client.write(body, True)


async def follow(client: RequestCycle, upload: Upload, exchange: Exchange, call: RequestContext) -> None:
    """Follow a form that goes on while it arrives, until the client has left or has its answer."""
    told = False
    while True:
        if not client.more_body and not upload.whole:
            upload.end()
            call.body = Body({}, call.body.model, upload.stream, wants_usage=True)
        if upload.error is not None and not told:
            told = True
            exchange.cancel(upload.error)
        if not await client.changed():
            return


def may_need_length(alias: Alias) -> bool:
    """Whether the length of audio may be what a request is billed by, or all that is known of it."""
    return alias.price is None or alias.price.millisecond is not None


def count_text(call: RequestContext, data: bytes, estimator: Estimator) -> None:
    """Set what a bill may need of the body: the size of its text, if there is more in it, and the tier asked for.

    With the text counts the little JSON around each piece of it; not the model and the names of the fields, which are
    not told to the model, nor the base64 of data URLs.
    """
    fields = call.body.fields
    size = sum(map(len, fields.values()))
    if "model" in fields:
        size -= len(fields["model"])
    # From the end: in nearly all texts that is several times the speed of a search from the beginning.
    if contains_rare(data, b";base64,", b";") if call.large else data.rfind(b";base64,") >= 0:
        call.text_in = max(size - len(data) + text_bytes(data), 0)
    else:
        call.text_in = size
        turn = estimator.turn = estimator.turn + 1
        if turn <= LEARN_ALL or turn % LEARN_EACH == 0:
            # An image, a file or a sound has tokens that say nothing about the text; long bodies are not searched.
            call.plain = len(data) <= MAX_SEARCHED and not (
                b"image_url" in data
                or b"file_id" in data
                or b'"input_file"' in data
                or b'"input_audio"' in data
                or b'"source"' in data
                or b"imeType" in data
                or b"mime_type" in data
            )
    if "service_tier" in fields:
        call.tier = tier_in(fields["service_tier"])
