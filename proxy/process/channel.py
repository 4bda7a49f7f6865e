"""What the supervisor and one of its processes say to each other: lines over a pair of sockets, a word and its payload.

Both ends are here; what the words mean is not. The end of the channel is how either learns that the other is gone.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from proxy.errors import GatewayError

#: A configuration is the longest there is to say.
_LONGEST = 64 * 1024 * 1024
_READ = 262_144
#: Seconds that a process may take to read what the supervisor says.
_SEND_SECONDS = 5.0

Heard = Callable[[str, bytes], None]


class Lines:
    """Cuts what arrives into words and payloads."""

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, data: bytes) -> list[tuple[str, bytes]]:
        """The lines that are whole now. Raises GatewayError for one that is too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            raise GatewayError("a line between the supervisor and a worker is too long")
        pairs = (line.partition(b" ") for line in lines)
        return [(word.decode(), payload) for word, _, payload in pairs]


class SupervisorEnd:
    """The supervisor's end; it is read when it is readable, and written with a bound on the wait."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(_SEND_SECONDS)
        self._lines = Lines()

    def read(self) -> list[tuple[str, bytes]] | None:
        """What was said; None at the end."""
        try:
            data = self.socket.recv(_READ)
        except OSError:
            return None
        return self._lines.cut(data) if data else None

    def say(self, word: str, payload: bytes = b"") -> bool:
        """Say something; False when the process does not take it."""
        try:
            self.socket.sendall(word.encode() + b" " + payload + b"\n")
        except OSError:
            return False
        return True


class WorkerEnd:
    """The other end, on an event loop."""

    def __init__(self, sock: socket.socket, heard: Heard, gone: Callable[[], None]) -> None:
        """`gone` is called when the supervisor is no more."""
        self._socket = sock
        self._heard = heard
        self._gone = gone
        self._lines = Lines()
        sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    def say(self, word: str, payload: bytes = b"") -> None:
        """Say something. Where the supervisor cannot take it, it is gone or stuck, and silence tells it as much."""
        with contextlib.suppress(OSError):
            self._socket.sendall(word.encode() + b" " + payload + b"\n")

    def close(self) -> None:
        """Hear nothing more."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket)
            self._gone()
            return
        for word, payload in self._lines.cut(data):
            self._heard(word, payload)
