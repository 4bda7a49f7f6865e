"""The control socket in the data directory: how another process of the same user talks to the gateway that runs there.

One line asks, one line answers, and the connection ends. Who may open the data directory may ask; nothing is secret in
an answer. What an order means is not decided here.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from proxy.errors import GatewayError

NAME = "control.sock"
#: Bytes that a socket's address may have, on every system.
_LONGEST_ADDRESS = 100
_LONGEST_ORDER = 64
#: Seconds for an order to be written.
_ORDER_SECONDS = 5.0
_LONGEST_ANSWER = 4 * 1024 * 1024


class NotRunning(GatewayError):
    """No gateway listens in this data directory."""

    code = "not_running"


class ControlSocket:
    """The listening end. The last gateway to start in a directory is the one that is asked."""

    def __init__(self, data_dir: Path) -> None:
        """Raises OSError."""
        self._path = data_dir / NAME
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _address(data_dir) as address:
                self._path.unlink(missing_ok=True)
                self.socket.bind(address)
                self._path.chmod(0o600)
            self.socket.listen(16)
            self.socket.setblocking(False)
        except OSError:
            self.socket.close()
            raise
        self._inode = self._path.stat().st_ino

    def forget(self) -> None:
        """Close it, and leave the file to another process: for a child that inherited it."""
        self.socket.close()

    def close(self) -> None:
        """Close it; the file goes too, unless another gateway has put its own there."""
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()


class ControlServer:
    """Answers on an event loop: each order by `answer`, as they come."""

    def __init__(self, control: ControlSocket, answer: Callable[[str], Awaitable[bytes]]) -> None:
        self._control = control
        self._answer = answer
        self._conversations: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(control.socket, self._accept)

    async def close(self) -> None:
        """Take no more orders; those under way get no answer."""
        self._loop.remove_reader(self._control.socket)
        self._control.close()
        for task in list(self._conversations):
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._control.socket.accept()
            connection.setblocking(False)
            task = self._loop.create_task(self._converse(connection))
            self._conversations.add(task)
            task.add_done_callback(self._conversations.discard)

    async def _converse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_ORDER_SECONDS):
                order = await self._loop.sock_recv(connection, _LONGEST_ORDER)
            answer = await self._answer(order.decode("ascii", "replace").strip())
            async with asyncio.timeout(_ORDER_SECONDS):
                await self._loop.sock_sendall(connection, answer)


def ask(data_dir: Path, order: str, patience: float) -> bytes:
    """Send an order to the gateway that runs in a data directory, and wait for its answer.

    Raises `NotRunning`, and `GatewayError` when there is no answer within `patience` seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        try:
            with _address(data_dir) as address:
                connection.connect(address)
        except OSError as error:
            raise NotRunning(
                f"no gateway runs in {data_dir} ({error.strerror or error}); name its own with --data-dir, or start it"
            ) from error
        answer = b""
        try:
            connection.sendall(order.encode() + b"\n")
            while (more := connection.recv(65_536)) and len(answer) < _LONGEST_ANSWER:
                answer += more
        except OSError as error:
            raise GatewayError(f"the gateway in {data_dir} does not answer: {error}; its log may say why") from error
    if not answer:
        raise GatewayError(f"the gateway in {data_dir} ended before it answered; its log may say why")
    return answer


@contextlib.contextmanager
def _address(data_dir: Path) -> Iterator[str]:
    """The socket's address: its path, or where that is too long for one, a short way to the same place."""
    path = str(data_dir / NAME)
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield path
        return
    folder = os.open(data_dir, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)
