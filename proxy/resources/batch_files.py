"""The lines of a batch: aliases become the upstream's names on the way up, and come back on the way down.

One line at a time is held. A line of a batch is a request like any other: its alias must be the key's to use, and what
it names the key's own.
"""

import time

import msgspec

from proxy.auth.keys import Key
from proxy.clock.gil import in_turns, pause
from proxy.dialects.scrub import scrub
from proxy.errors import InvalidRequest, UpstreamProtocolError
from proxy.ledger.ownership import Owners
from proxy.policies.ownership import own_all
from proxy.policies.references import find
from proxy.resources.account import target_at
from proxy.resources.rewrite import fields_of, text_of, with_alias
from proxy.resources.routing import ResourceRouting
from proxy.server.bodies import Holding
from proxy.upstream.target import Target
from proxy.wire.field_names import check_names
from proxy.wire.json_scan import STEP_BYTES
from proxy.wire.request_body import check_model, decode_in_steps, decode_object

#: Lines of a batch that hold nothing.
MAX_BLANK_LINES = 10_000
#: Seconds for which the lines of one piece hold the event loop.
MAX_HOLD = 0.005
_encoder = msgspec.json.Encoder()


class Lines:
    """Cuts pieces into whole lines, each with its line end."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece; return the lines that are whole. Raises `InvalidRequest` for one that is too long."""
        if b"\n" not in data:
            self._held += data
            lines: list[bytes] = []
        else:
            *lines, rest = (bytes(self._held) + data).split(b"\n")
            self._held = bytearray(rest)
        if max(map(len, (*lines, self._held))) > self._longest:
            raise InvalidRequest(f"A line is longer than {self._longest} bytes.")
        return [line + b"\n" for line in lines]

    @property
    def held(self) -> int:
        """Bytes of the line that is not whole."""
        return len(self._held)

    def rest(self) -> bytes:
        """What came after the last line end."""
        rest, self._held = bytes(self._held), bytearray()
        return rest


class BatchUp:
    """Changes an uploaded batch. Its first line decides the alias, and with it the upstream."""

    def __init__(
        self, choice: ResourceRouting, owners: Owners, key: Key, upstream: str | None, longest: int, holding: Holding
    ) -> None:
        """`upstream` is where the file must go, if that is decided already; a line that is not whole counts as
        `holding`."""
        self._holding = holding
        self._choice = choice
        self._owners = owners
        self._key = key
        self._upstream = upstream
        self._lines = Lines(longest)
        self._number = 0
        self._blank = 0
        self.alias = ""
        self.target: Target | None = None

    @property
    def held(self) -> int:
        """Bytes of the line that is not whole."""
        return self._lines.held

    async def feed(self, data: bytes) -> bytes:
        changed: list[bytes] = []
        until = time.monotonic() + MAX_HOLD
        lines = self._lines.feed(data)
        self._holding.require(self._lines.held)
        for line in lines:
            changed.append(await self._line(line))
            if time.monotonic() > until:
                await pause()
                until = time.monotonic() + MAX_HOLD
        return b"".join(changed)

    async def end(self) -> bytes:
        return await self._line(self._lines.rest())

    async def _line(self, line: bytes) -> bytes:
        self._number += 1
        text = line.strip()
        if not text:
            self._blank += 1
            if self._blank > MAX_BLANK_LINES:
                raise InvalidRequest(f"The batch has more than {MAX_BLANK_LINES} empty lines.", param="file")
            return line
        try:
            changed = await self._request(text)
        except InvalidRequest as error:
            raise InvalidRequest(
                f"Line {self._number}: {error.message}", status=error.status, code=error.code, param=error.param
            ) from error
        return changed + (b"\n" if line.endswith(b"\n") else b"")

    async def _request(self, text: bytes) -> bytes:
        fields = await _decoded(text)
        if any(name != "body" and name.casefold() == "body" for name in fields):
            raise InvalidRequest("A name can be read as 'body' too. Write 'body', in exactly these letters.")
        body = await _decoded(bytes(fields.get("body", msgspec.Raw(b""))))
        check_names(body)
        name = text_of(body, "model")
        if not name:
            raise InvalidRequest("You must provide a model in 'body'.", param="body.model")
        if self.target is None:
            self.target = self._choose(name)
            self.alias = name
        elif name != self.alias:
            raise InvalidRequest("All lines of a batch must have the same model.", code="mismatched_model")
        self._choice.check_models(self._key, body, self.target)
        for one in await own_all(self._owners, self._key.id, find(body)):
            if one.upstream != self.target.pool.name:
                raise InvalidRequest("The objects in the request are at another provider.", code="objects_apart")
        for client_id in self.target.client_ids:
            body.pop(client_id, None)
        body["model"] = msgspec.Raw(_encoder.encode(self.target.model))
        fields["body"] = msgspec.Raw(_encoder.encode(body))
        return _encoder.encode(fields)

    def _choose(self, name: str) -> Target:
        check_model(name)
        target = target_at(self._choice.alias(self._key, name), self._upstream)
        if target is None:
            raise InvalidRequest(
                f"The model `{name}` takes no batches here.", param="body.model", code="model_not_supported"
            )
        return target


async def _decoded(data: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object, as `decode_object` reads them; a large one does not hold the event loop."""
    return decode_object(data) if len(data) < STEP_BYTES else await in_turns(decode_in_steps(data))


class BatchDown:
    """Changes a batch's file, given or made, back into what its client knows."""

    def __init__(self, alias: str, model: str, longest: int) -> None:
        self._alias = alias
        self._model = model
        self._lines = Lines(longest)

    def feed(self, data: bytes) -> bytes:
        """Take the next piece; return the lines that are whole. Raises `InvalidRequest` for one that is too long."""
        return b"".join([self._line(line) for line in self._lines.feed(data)])

    def end(self) -> bytes:
        """The file has ended."""
        return self._line(self._lines.rest())

    def _line(self, line: bytes) -> bytes:
        if len(line) <= 2:
            return line
        try:
            fields = fields_of(line)
        except UpstreamProtocolError:
            # The model may stand anywhere in it.
            return scrub(line, self._model.encode(), self._alias.encode())
        line = with_alias(with_alias(line, self._alias, ("response", "body", "model")), self._alias, ("body", "model"))
        failed = any(bytes(fields.get(name, b"null")) != b"null" for name in ("error", "errors"))
        if failed or b'"error"' in line:
            return scrub(line, self._model.encode(), self._alias.encode())
        return line
