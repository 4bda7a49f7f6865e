"""A multipart form on its way to the upstream: its parts in their order, byte for byte but for the parts to be changed.

The field that decides where the form goes is waited for; what comes before it is buffered, in memory and beyond that in
a temporary file. Nothing else of the form is kept.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Protocol

from proxy.errors import BodyTooLarge, InvalidRequest
from proxy.server.bodies import Holding
from proxy.wire.multipart import EventKind, FormEvent, MultipartParser

#: Bytes of the field that decides.
MAX_DECIDING_BYTES: Final = 4_096
#: Bytes of a field that is checked before it goes on.
MAX_CHECKED_BYTES: Final = 65_536
#: Bytes buffered in memory before the deciding field has come.
MAX_BUFFERED_BYTES: Final = 1_048_576
_SLICE_BYTES: Final = 65_536


class Change(Protocol):
    """Changes the content of one part as it passes."""

    async def feed(self, data: bytes) -> bytes: ...

    async def end(self) -> bytes: ...


class Form:
    """Reads a form from the client: `read_field` once, then `body`; `close` in the end."""

    def __init__(
        self, chunks: AsyncIterator[bytes], boundary: bytes, max_bytes: int, field: str, holding: Holding
    ) -> None:
        """`field` names the field that decides; "" is none. What is buffered counts as `holding`, until `close`."""
        self._chunks = chunks
        self._max_bytes = max_bytes
        self._field = field
        self._holding = holding
        self._parser = MultipartParser(boundary, drops_epilogue=True)
        self._received = 0
        #: The events up to the end of the deciding field, without their data, and its size: the file has it.
        self._buffered: list[tuple[FormEvent, int]] = []
        self._buffered_bytes = 0
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = None
        #: The deciding field, as far as it has come.
        self._value: bytearray | None = None

    async def read_field(self) -> str | None:
        """Read as far as the deciding field is whole; its value, or None without one. Raises `InvalidRequest`."""
        if not self._field:
            return None
        # Closed by `close`: it outlives this call.
        self._file = tempfile.SpooledTemporaryFile(MAX_BUFFERED_BYTES)  # noqa: SIM115
        async for event in self._events():
            await self._buffer(event)
            if event.kind in (EventKind.PART, EventKind.CLOSE):
                if self._value is not None:
                    return self._decoded(self._value)
                if event.name == self._field:
                    self._value = bytearray()
            elif event.kind is EventKind.CONTENT and self._value is not None:
                self._value += event.data
                if len(self._value) > MAX_DECIDING_BYTES:
                    raise _too_long(self._field)
        return None

    async def body(self, change_of: Callable[[FormEvent], Change | None]) -> AsyncIterator[bytes]:
        """The form for the upstream; `change_of` says for each part's head how its content is changed, if it is."""
        change: Change | None = None
        async for event in self._all_events():
            data = event.data
            if event.kind is EventKind.CONTENT:
                data = await change.feed(data) if change is not None else data
            elif change is not None:
                # A part ends.
                data, change = await change.end() + data, None
            elif event.kind is EventKind.PART:
                change = change_of(event)
            if data:
                yield data

    def close(self) -> None:
        """Drop what is buffered."""
        if self._file is not None:
            self._file.close()
        self._holding.release()

    async def _all_events(self) -> AsyncIterator[FormEvent]:
        if self._file is not None:
            self._file.seek(0)
            for event, size in self._buffered:
                for begin in range(0, size, _SLICE_BYTES):
                    data = await asyncio.to_thread(self._file.read, min(size - begin, _SLICE_BYTES))
                    yield FormEvent(event.kind, data, event.name, event.is_file)
        async for event in self._events():
            yield event

    async def _events(self) -> AsyncIterator[FormEvent]:
        """What the client still sends; iterated again, it goes on where it was."""
        parser = self._parser
        while True:
            while (event := parser.next_event()) is not None:
                yield event
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                parser.finish()
                return
            self._received += len(chunk)
            if self._received > self._max_bytes:
                raise BodyTooLarge(
                    f"The request body is larger than {self._max_bytes} bytes, the most this endpoint takes."
                )
            parser.receive(chunk)

    def _decoded(self, value: bytearray) -> str:
        try:
            return value.decode().strip()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"The field '{self._field}' is not valid UTF-8.", param=self._field) from error

    async def _buffer(self, event: FormEvent) -> None:
        assert self._file is not None
        size = len(event.data)
        self._buffered_bytes += size
        if self._buffered_bytes > MAX_BUFFERED_BYTES:
            self._holding.require_disk(self._buffered_bytes)
            self._holding.hold(0)
        else:
            self._holding.require(self._buffered_bytes)
        # The first large pieces move the file to the disk, which may wait.
        await asyncio.to_thread(self._file.write, event.data)
        last = self._buffered[-1] if self._buffered else None
        if last is not None and last[0].kind is event.kind is EventKind.CONTENT:
            self._buffered[-1] = (last[0], last[1] + size)
        else:
            self._buffered.append((FormEvent(event.kind, b"", event.name, event.is_file), size))


class NewValue:
    """Replaces a field's value."""

    def __init__(self, value: str) -> None:
        self._value = value.encode()

    async def feed(self, data: bytes) -> bytes:
        return b""

    async def end(self) -> bytes:
        return self._value


class CheckedValue:
    """Holds a field's value back until it has been checked."""

    def __init__(self, name: str, check: Callable[[bytes], Awaitable[None]]) -> None:
        """`check` raises `InvalidRequest` for a value that may not go on."""
        self._name = name
        self._check = check
        self._value = bytearray()

    async def feed(self, data: bytes) -> bytes:
        self._value += data
        if len(self._value) > MAX_CHECKED_BYTES:
            raise _too_long(self._name)
        return b""

    async def end(self) -> bytes:
        await self._check(bytes(self._value))
        return bytes(self._value)


def _too_long(field: str) -> InvalidRequest:
    return InvalidRequest(f"The field '{field}' is too long.", param=field)
