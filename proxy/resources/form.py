"""A form with files on its way to the upstream: its parts, in their order, written anew, and changed where asked.

A field that decides what happens to the form is waited for; what comes before it is kept in memory, and on the disk
when that is more. Nothing else of the form is held.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import msgspec

from proxy.errors import BodyTooLarge, InvalidRequest
from proxy.server.bodies import Holding
from proxy.wire.multipart import PartNames, find_line_end

MAX_HEAD = 16_384
MAX_PARTS = 128
#: Bytes of a field that decides.
MAX_VALUE = 4_096
#: Bytes of a field that is looked at before it goes on.
MAX_HELD = 65_536
#: Bytes kept in memory while the deciding field has not come.
MAX_KEPT = 1_048_576


class Part(msgspec.Struct, frozen=True):
    """A part begins."""

    name: str
    is_file: bool
    head: bytes


class Change(Protocol):
    """Changes the content of one part as it passes."""

    async def feed(self, data: bytes) -> bytes: ...

    async def end(self) -> bytes: ...


class FormScanner:
    """Cuts a multipart body into parts and their content. Raises `InvalidRequest` for what cannot be read."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"--" + boundary
        self._mark = b"\r\n--" + boundary
        self._buffer = bytearray()
        self._state = "before"
        self._parts = 0
        self._names = PartNames()
        #: Nothing of the running part's content has been looked at yet.
        self._begins = False

    def feed(self, data: bytes) -> list[Part | bytes]:
        """Take the next bytes; return what they hold: a part that begins, or content of the running one."""
        self._buffer += data
        found: list[Part | bytes] = []
        while self._step(found):
            pass
        return found

    def finish(self) -> None:
        """The body has ended. Raises `InvalidRequest` where the form has not."""
        if self._state != "done":
            raise InvalidRequest("The multipart body cannot be read: it ends before its last boundary.")

    def _step(self, found: list[Part | bytes]) -> bool:
        buffer, mark = self._buffer, self._mark
        if self._state == "before":
            # The first boundary needs no line before it.
            size = len(mark) if buffer.startswith(b"\r\n") else len(self._delimiter)
            if not mark[-size:].startswith(bytes(buffer[:size])) and buffer != b"\r":
                raise InvalidRequest("The multipart body cannot be read: it does not begin with its boundary.")
            if len(buffer) < size:
                return False
            del buffer[:size]
            self._state = "mark"
        elif self._state == "content":
            if self._begins:
                if len(buffer) < len(self._delimiter):
                    return False
                if buffer.startswith(self._delimiter):
                    raise InvalidRequest("The multipart body cannot be read: a part ends without a line end.")
                self._begins = False
            at = find_line_end(buffer, self._delimiter, 0)
            size = at if at >= 0 else max(len(buffer) - len(mark) + 1, 0)
            if size:
                found.append(bytes(buffer[:size]))
            del buffer[: size if at < 0 else at + len(mark)]
            if at < 0:
                return False
            self._state = "mark"
        if self._state == "mark":
            if len(buffer) < 2:
                return False
            if buffer.startswith(b"--"):
                self._state = "done"
            elif buffer.startswith(b"\r\n"):
                del buffer[:2]
                self._state = "head"
            else:
                raise InvalidRequest("The multipart body cannot be read: a boundary is followed by something else.")
        if self._state == "head":
            at = buffer.find(b"\r\n\r\n")
            if at < 0 or at > MAX_HEAD:
                if len(buffer) > MAX_HEAD:
                    raise InvalidRequest("The multipart body cannot be read: the head of a part is too large.")
                return False
            head = bytes(buffer[:at])
            # The line end stays: an empty part's boundary begins with it.
            del buffer[: at + 4]
            self._parts += 1
            if self._parts > MAX_PARTS:
                raise InvalidRequest(f"The multipart body has more than {MAX_PARTS} parts.")
            name, is_file = self._names.read(head)
            found.append(Part(name, is_file, head))
            self._state = "content"
            self._begins = True
            return True
        if self._state == "done":
            buffer.clear()
        return False


class Form:
    """See the module. `look` once, then `body`; `close` whatever happens."""

    def __init__(
        self, pieces: AsyncIterator[bytes], boundary: bytes, limit: int, wanted: str, holding: Holding
    ) -> None:
        """`wanted` names the field that decides; "" is none. What is kept counts as `holding`, until `close`."""
        self._holding = holding
        self._pieces = pieces
        self._boundary = boundary
        self._limit = limit
        self._wanted = wanted
        self._scanner = FormScanner(boundary)
        self._received = 0
        #: What came before the deciding field: parts, and the sizes of their content, which is in the file.
        self._kept: list[Part | int] = []
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = None
        self._size = 0
        self._value: bytearray | None = None
        self._decided = False
        #: Items that the last piece held and nobody has taken yet.
        self._pending: list[Part | bytes] = []
        self._finished = False
        #: The deciding field's value, once it has come.
        self.value: str | None = None

    async def look(self) -> str | None:
        """Read as far as the deciding field is whole; its value, or None without one. Raises `InvalidRequest`."""
        if not self._wanted:
            return None
        # Closed by `close`: it outlives this call.
        self._file = tempfile.SpooledTemporaryFile(MAX_KEPT)  # noqa: SIM115
        async for item in self._items():
            await self._keep(item)
            if self._decided:
                break
        return self.value

    async def body(self, change: Callable[[Part], Change | None]) -> AsyncIterator[bytes]:
        """The form for the upstream; `change` says for each part how its content is changed, if it is."""
        running: Change | None = None
        begun = False
        async for item in self._all():
            if isinstance(item, Part):
                if begun:
                    yield (await running.end() if running is not None else b"") + b"\r\n"
                running, begun = change(item), True
                yield b"--%b\r\n%b\r\n\r\n" % (self._boundary, item.head)
            elif running is None:
                yield item
            elif changed := await running.feed(item):
                yield changed
        ending = await running.end() if running is not None else b""
        yield (ending + b"\r\n" if begun else b"") + b"--%b--\r\n" % self._boundary

    def close(self) -> None:
        """Let go of what is kept."""
        if self._file is not None:
            self._file.close()
        self._holding.release()

    async def _all(self) -> AsyncIterator[Part | bytes]:
        if self._file is not None:
            self._file.seek(0)
            for item in self._kept:
                if isinstance(item, Part):
                    yield item
                    continue
                left = item
                while left:
                    data = await asyncio.to_thread(self._file.read, min(left, 65_536))
                    left -= len(data)
                    yield data
        async for live in self._items():
            yield live

    async def _items(self) -> AsyncIterator[Part | bytes]:
        """What the client still sends; whoever stops taking it may go on later."""
        pending = self._pending
        while True:
            while pending:
                item = pending.pop(0)
                self._watch(item)
                yield item
            try:
                piece = await anext(self._pieces)
            except StopAsyncIteration:
                if not self._finished:
                    self._finished = True
                    self._scanner.finish()
                    self._close_value()
                return
            self._received += len(piece)
            if self._received > self._limit:
                raise BodyTooLarge(
                    f"The request body is larger than {self._limit} bytes, the most this endpoint takes."
                )
            pending += self._scanner.feed(piece)

    def _watch(self, item: Part | bytes) -> None:
        """Follow the deciding field."""
        if isinstance(item, Part):
            self._close_value()
            if self._wanted and item.name == self._wanted:
                if item.is_file or self.value is not None:
                    raise InvalidRequest(f"The form must have one field '{self._wanted}'.", param=self._wanted)
                self._value = bytearray()
        elif self._value is not None:
            self._value += item
            if len(self._value) > MAX_VALUE:
                raise InvalidRequest(f"The field '{self._wanted}' is too long.", param=self._wanted)

    def _close_value(self) -> None:
        if self._value is None:
            return
        try:
            self.value = self._value.decode().strip()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"The field '{self._wanted}' is not valid UTF-8.", param=self._wanted) from error
        self._value = None
        self._decided = True

    async def _keep(self, item: Part | bytes) -> None:
        assert self._file is not None
        if isinstance(item, Part):
            self._kept.append(item)
            return
        self._size += len(item)
        if self._size > MAX_KEPT:
            self._holding.require_disk(self._size)
            self._holding.hold(0)
        else:
            self._holding.require(self._size)
        # The first large pieces move the file to the disk, which may wait.
        await asyncio.to_thread(self._file.write, item)
        last = self._kept[-1] if self._kept else None
        if isinstance(last, int):
            self._kept[-1] = last + len(item)
        else:
            self._kept.append(len(item))


class Renamed:
    """A field with another value."""

    def __init__(self, value: str) -> None:
        self._value = value.encode()

    async def feed(self, data: bytes) -> bytes:
        return b""

    async def end(self) -> bytes:
        return self._value


class Held:
    """A field whose value is looked at before it goes on."""

    def __init__(self, name: str, check: Callable[[bytes], Awaitable[None]]) -> None:
        """`check` raises `InvalidRequest` for a value that may not go on."""
        self._name = name
        self._check = check
        self._value = bytearray()

    async def feed(self, data: bytes) -> bytes:
        self._value += data
        if len(self._value) > MAX_HELD:
            raise InvalidRequest(f"The field '{self._name}' is too long.", param=self._name)
        return b""

    async def end(self) -> bytes:
        await self._check(bytes(self._value))
        return bytes(self._value)
