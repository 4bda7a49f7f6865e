"""The control socket in the data directory: how another process of the same user talks to the gateway that runs there.

One line asks, one line answers, and the connection ends. Who may open the data directory may ask; nothing is secret in
an answer. What an order means is not decided here.
"""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from proxy.errors import GatewayError

NAME = "control.sock"
#: Seconds between two looks at whether it is still there, or to be had.
KEEP_SECONDS = 1.0
#: Bytes that a socket's address may have, on every system.
_LONGEST_ADDRESS = 100
_LONGEST_ORDER = 64
#: Seconds for an order to be written.
_ORDER_SECONDS = 5.0
_LONGEST_ANSWER = 4 * 1024 * 1024
_log = logging.getLogger(__name__)


class NotRunning(GatewayError):
    """No gateway listens in this data directory."""

    code = "not_running"


class ControlSocket:
    """The listening end. Of several gateways in a directory the first is the one that is asked, for as long as it
    serves; then another that runs is."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.path = data_dir / NAME
        #: None while another gateway is the one that is asked.
        self.socket: socket.socket | None = None
        self._file: tuple[int, int] | None = None

    def keep(self) -> None:
        """Become the one that is asked, unless that is another gateway.

        To be called again and again: the other may end, and the file may be removed. Raises OSError.
        """
        if self.socket is not None and _file_at(self.path) == self._file:
            return
        with _turn(self._data_dir), _address(self._data_dir) as address:
            if _is_served(address):
                before, self.socket = self.socket, None
                if before is not None:
                    before.close()
                return
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                # What a process has left that is no more.
                self.path.unlink(missing_ok=True)
                made.bind(address)
                self.path.chmod(0o600)
                made.listen(16)
                made.setblocking(False)
            except OSError:
                made.close()
                raise
            self._file = _file_at(self.path)
        if self.socket is not None:
            self.socket.close()
        self.socket = made

    def close(self) -> None:
        """Be asked no longer; the file goes too, unless another gateway has put its own there."""
        made, self.socket = self.socket, None
        if made is None:
            return
        with contextlib.suppress(OSError), _turn(self._data_dir):
            # While the socket is open no other file can have its number.
            if _file_at(self.path) == self._file:
                self.path.unlink()
        made.close()


def _file_at(path: Path) -> tuple[int, int] | None:
    """The device and the number of the file that a name leads to now."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_served(address: str) -> bool:
    """Whether a process listens there, however busy it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            connection.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True
        except OSError as error:
            # A file that is no socket is in the way; what cannot be judged is left alone.
            return error.errno not in (errno.ENOTSOCK, errno.EPROTOTYPE)
    return True


@contextlib.contextmanager
def _turn(data_dir: Path) -> Iterator[None]:
    """One process after the other: two that start at once must not take each other's socket for a dead one's."""
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Held for a moment only, and let go of by whoever dies. Not every file system has locks.
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


class ControlServer:
    """Answers on an event loop: each order by `answer`, as they come."""

    def __init__(self, data_dir: Path, answer: Callable[[str], Awaitable[bytes]]) -> None:
        self._control = ControlSocket(data_dir)
        self._answer = answer
        self._conversations: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._listening: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._keeper = Keeper(self._control)
        self._keep()

    async def close(self) -> None:
        """Take no more orders; those under way get no answer."""
        self.stop()
        for task in list(self._conversations):
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    def stop(self) -> None:
        """Take no more orders: another gateway may be asked from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._listen(None)
        self._control.close()

    def _keep(self) -> None:
        self._timer = self._loop.call_later(KEEP_SECONDS, self._keep)
        # It may be closed by that.
        self._listen(None)
        self._keeper.keep()
        self._listen(self._control.socket)

    def _listen(self, listening: socket.socket | None) -> None:
        before, self._listening = self._listening, listening
        if before is not None:
            self._loop.remove_reader(before)
        if listening is not None:
            self._loop.add_reader(listening, self._accept)

    def _accept(self) -> None:
        if self._listening is None:
            return
        with contextlib.suppress(OSError):
            connection, _ = self._listening.accept()
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


class Keeper:
    """Keeps a control socket, and tells in the log what changes, once."""

    def __init__(self, control: ControlSocket) -> None:
        self._control = control
        self._told: str | None = None

    def keep(self) -> None:
        """Look after the socket; for a timer."""
        control = self._control
        try:
            control.keep()
        except OSError as error:
            self._tell(f"{control.path} cannot be made, so `config reload` will not work: {error}")
            return
        if control.socket is None:
            self._tell(
                f"another gateway runs in {control.path.parent}: `config reload` asks that one; for this one use SIGHUP"
            )
        elif self._told is not None:
            self._told = None
            _log.warning("`config reload` asks this gateway from now on")

    def _tell(self, what: str) -> None:
        if what != self._told:
            self._told = what
            _log.warning("%s", what)


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
