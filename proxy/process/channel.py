"""The messages between the supervisor and one of its processes: lines over a socket pair, a word and its payload.

Both ends are here; what the words mean is not. The end of the stream is how either side notices that the other is gone.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from proxy.errors import GatewayError

#: The longest message is a whole configuration.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_READ_BYTES = 262_144
#: Seconds that a process may take to read a message of the supervisor.
_SEND_SECONDS = 5.0

MessageHandler = Callable[[str, bytes], None]


class MessageParser:
    """Splits what arrives into messages, each a word and its payload."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """The messages that are whole now. Raises `GatewayError` for one that is too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_MESSAGE_BYTES:
            raise GatewayError("a message between the supervisor and a worker is too long")
        pairs = (line.partition(b" ") for line in lines)
        return [(word.decode(), payload) for word, _, payload in pairs]


def _encoded(word: str, payload: bytes) -> bytes:
    return word.encode() + b" " + payload + b"\n"


class SupervisorEnd:
    """The supervisor's end: it is read when it is readable, and written with a timeout."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(_SEND_SECONDS)
        self._parser = MessageParser()

    def receive(self) -> list[tuple[str, bytes]] | None:
        """The messages that have arrived; None at the end of the stream."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except OSError:
            return None
        return self._parser.feed(data) if data else None

    def send(self, word: str, payload: bytes = b"") -> bool:
        """Send a message; False when the process is gone or does not read."""
        try:
            self.socket.sendall(_encoded(word, payload))
        except OSError:
            return False
        return True


class WorkerEnd:
    """A worker's end, on its event loop."""

    def __init__(self, sock: socket.socket, on_message: MessageHandler, on_close: Callable[[], None]) -> None:
        """`on_close` is called when the supervisor is gone."""
        self._socket = sock
        self._on_message = on_message
        self._on_close = on_close
        self._parser = MessageParser()
        sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    def send(self, word: str, payload: bytes = b"") -> None:
        """Send a message. An error is ignored: the supervisor is gone then, or notices the missing heartbeat."""
        with contextlib.suppress(OSError):
            self._socket.sendall(_encoded(word, payload))

    def close(self) -> None:
        """Receive nothing more."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket)
            self._on_close()
            return
        for word, payload in self._parser.feed(data):
            self._on_message(word, payload)
