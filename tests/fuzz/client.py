"""The client of the fuzzer: sends a request in its pieces, and reads the answer with a strict HTTP parser."""

import asyncio
import random
from dataclasses import dataclass, field

import h11

from tests.fuzz.requests import Request

#: Seconds after which a client that has no whole answer calls the gateway hung. Above all the gateway's own deadlines.
PATIENCE = 25.0


@dataclass
class Response:
    """What came back."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    #: It came to the end of its framing.
    whole: bool = False
    #: The client left by itself.
    left: bool = False
    #: What no client could read, in words.
    broken: str = ""

    @property
    def request_id(self) -> str:
        """The gateway's id of the request, or ""."""
        return self.headers.get(b"x-request-id", b"").decode("latin-1")


class Client:
    """One connection, made anew whenever the last one is over."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Request, chance: random.Random) -> Response:
        """Send it and read the answer. Raises TimeoutError where none comes."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        response = Response()
        async with asyncio.timeout(PATIENCE):
            try:
                for piece in request.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(chance.choice((0.0, 0.0, 0.002)))
            except ConnectionError:
                # Refused before it was all sent; the answer may be there all the same.
                pass
            keep = await self._read(reader, response, request.leaves_at)
        if not keep:
            self.close()
        return response

    def close(self) -> None:
        """Leave."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _read(self, reader: asyncio.StreamReader, response: Response, leaves_at: int) -> bool:
        """Read one answer; whether the connection may be used again."""
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        parser.send(h11.Request(method="POST", target="/", headers=[("host", "gateway"), ("content-length", "0")]))
        parser.send(h11.EndOfMessage())
        received = 0
        while True:
            if received >= leaves_at >= 0:
                response.left = True
                return False
            try:
                data = await reader.read(65_536)
            except ConnectionError:
                return False
            received += len(data)
            try:
                parser.receive_data(data)
                if self._take(parser, response):
                    extra, _ = parser.trailing_data
                    if extra:
                        response.broken = f"bytes follow the answer: {extra[:100]!r}"
                    return response.headers.get(b"connection") != b"close"
            except h11.RemoteProtocolError as error:
                if data:
                    response.broken = str(error)
                return False
            if not data:
                return False

    @staticmethod
    def _take(parser: h11.Connection, response: Response) -> bool:
        """Take what the parser has; whether the answer is whole."""
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Response):
                response.status = event.status_code
                response.headers = {bytes(name): bytes(value) for name, value in event.headers}
            elif isinstance(event, h11.Data):
                response.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                response.whole = True
                return True
            elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return False
