"""The files of batches: aliases are replaced by the upstream's model names in uploads, and put back in downloads.

One line is held at a time. A line of a batch is a request like any other: its alias must be one that the key may use,
and the resources that it names must be the key's own.
"""

import time
from typing import Final

import msgspec

from proxy.auth.keys import Key
from proxy.clock.gil import pause
from proxy.dialects.scrub import scrub
from proxy.errors import InvalidRequest, UpstreamProtocolError
from proxy.ledger.ownership import Owners
from proxy.policies.ownership import own_all
from proxy.policies.references import find
from proxy.resources.rewrite import fields_of, text_of, with_alias
from proxy.resources.routing import ResourceRouting, check_place, decode, encode
from proxy.server.bodies import Holding
from proxy.upstream.target import Target
from proxy.wire.field_names import check_names

#: Empty lines in a batch.
MAX_BLANK_LINES: Final = 10_000
#: Seconds for which the lines of one chunk may hold the event loop.
MAX_LOOP_SECONDS: Final = 0.005
_encoder = msgspec.json.Encoder()


class LineSplitter:
    """Splits chunks into whole lines, each with its line end."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next chunk; return the lines that are whole. Raises `InvalidRequest` for one that is too long."""
        if b"\n" not in data:
            self._partial += data
            lines: list[bytes] = []
        else:
            *lines, rest = (bytes(self._partial) + data).split(b"\n")
            self._partial = bytearray(rest)
        if max(map(len, (*lines, self._partial))) > self._max_line_bytes:
            raise InvalidRequest(f"A line is longer than {self._max_line_bytes} bytes.")
        return [line + b"\n" for line in lines]

    @property
    def partial_bytes(self) -> int:
        """Bytes of the line that is not whole."""
        return len(self._partial)

    def end(self) -> bytes:
        """The bytes behind the last line end."""
        rest, self._partial = bytes(self._partial), bytearray()
        return rest


class BatchUpload:
    """Rewrites an uploaded batch. Its first line decides the alias, and with it the upstream."""

    def __init__(
        self,
        routing: ResourceRouting,
        owners: Owners,
        key: Key,
        upstream: str | None,
        max_line_bytes: int,
        holding: Holding,
    ) -> None:
        """`upstream` is where the file must go, if that is decided; a line that is not whole counts as `holding`."""
        self._routing = routing
        self._owners = owners
        self._key = key
        self._upstream = upstream
        self._lines = LineSplitter(max_line_bytes)
        self._holding = holding
        self._number = 0
        self._blank = 0
        self.alias = ""
        self.target: Target | None = None

    @property
    def partial_bytes(self) -> int:
        """Bytes of the line that is not whole."""
        return self._lines.partial_bytes

    async def feed(self, data: bytes) -> bytes:
        """Take the next chunk of the file; return the lines that are whole, rewritten. Raises `InvalidRequest`."""
        rewritten: list[bytes] = []
        until = time.monotonic() + MAX_LOOP_SECONDS
        lines = self._lines.feed(data)
        self._holding.require(self._lines.partial_bytes)
        for line in lines:
            rewritten.append(await self._line(line))
            if time.monotonic() > until:
                await pause()
                until = time.monotonic() + MAX_LOOP_SECONDS
        return b"".join(rewritten)

    async def end(self) -> bytes:
        """The file has ended; return its last line. Raises `InvalidRequest`."""
        return await self._line(self._lines.end())

    async def _line(self, line: bytes) -> bytes:
        self._number += 1
        text = line.strip()
        if not text:
            self._blank += 1
            if self._blank > MAX_BLANK_LINES:
                raise InvalidRequest(f"The batch has more than {MAX_BLANK_LINES} empty lines.", param="file")
            return line
        try:
            rewritten = await self._request(text)
        except InvalidRequest as error:
            raise InvalidRequest(
                f"Line {self._number}: {error.message}", status=error.status, code=error.code, param=error.param
            ) from error
        return rewritten + (b"\n" if line.endswith(b"\n") else b"")

    async def _request(self, text: bytes) -> bytes:
        fields = await decode(text)
        if any(name != "body" and name.casefold() == "body" for name in fields):
            raise InvalidRequest("A name can be read as 'body' too. Write 'body', in exactly these letters.")
        body = await decode(bytes(fields.get("body", msgspec.Raw(b""))))
        check_names(body)
        name = text_of(body, "model")
        if not name:
            raise InvalidRequest("You must provide a model in 'body'.", param="body.model")
        if self.target is None:
            self.target = self._routing.alias_target(
                self._key, name, self._upstream, "takes no batches here", "body.model"
            )
            self.alias = name
        elif name != self.alias:
            raise InvalidRequest("All lines of a batch must have the same model.", code="mismatched_model")
        self._routing.check_models(self._key, body, self.target)
        check_place(await own_all(self._owners, self._key.id, find(body)), self.target.pool.name)
        fields["body"] = msgspec.Raw(encode(body, self.target, self.target.model))
        return _encoder.encode(fields)


class BatchDownload:
    """Puts the alias back into a downloaded file of a batch, its input or its output."""

    def __init__(self, alias: str, model: str, max_line_bytes: int) -> None:
        self._alias = alias
        self._model = model
        self._lines = LineSplitter(max_line_bytes)

    def feed(self, data: bytes) -> bytes:
        """Take the next chunk; return the lines that are whole. Raises `InvalidRequest` for one that is too long."""
        return b"".join([self._line(line) for line in self._lines.feed(data)])

    def end(self) -> bytes:
        """The file has ended; return its last line."""
        return self._line(self._lines.end())

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
