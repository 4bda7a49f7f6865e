"""The control socket in the data directory: how another process of the same user talks to the gateway that runs there.

A command is one line, its response one document, and the connection ends. Permission is that to open the data
directory, so a response must hold no secrets. What a command means is not decided here.
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
#: Seconds between two attempts to claim the socket, or to find that it is still there.
CLAIM_SECONDS = 1.0
#: Bytes that the address of a Unix socket may have, on every system.
_MAX_ADDRESS_BYTES = 100
MAX_COMMAND_BYTES = 64
#: Seconds for a command to be written, and for its response to be read.
_TRANSFER_SECONDS = 5.0
_MAX_RESPONSE_BYTES = 4 * 1024 * 1024
_log = logging.getLogger(__name__)


class NotRunning(GatewayError):
    """No gateway listens in this data directory."""

    code = "not_running"


class ControlSocket:
    """The listening socket. Of several gateways in one directory the first owns it, for as long as it serves."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.path = data_dir / NAME
        #: None while another gateway owns it.
        self.socket: socket.socket | None = None
        self._file: tuple[int, int] | None = None
        #: What was logged last about not owning it.
        self._logged: str | None = None

    def keep_claimed(self) -> None:
        """Claim it, or find that it is still there, and log what has changed. To be called every `CLAIM_SECONDS`."""
        try:
            self.claim()
        except OSError as error:
            self._log_once(f"{self.path} cannot be made, so `config reload` will not work: {error}")
            return
        if self.socket is None:
            self._log_once(
                f"another gateway runs in {self._data_dir}: `config reload` reloads that one; for this one use SIGHUP"
            )
        elif self._logged is not None:
            self._logged = None
            _log.warning("`config reload` reloads this gateway from now on")

    def _log_once(self, message: str) -> None:
        if message != self._logged:
            self._logged = message
            _log.warning("%s", message)

    def claim(self) -> None:
        """Own the socket, unless another gateway does.

        To be called again and again: the other may end, and the file may be removed. Raises OSError.
        """
        if self.socket is not None and _file_at(self.path) == self._file:
            return
        with _lock(self._data_dir), _address(self._data_dir) as address:
            if _is_served(address):
                before, self.socket = self.socket, None
                if before is not None:
                    before.close()
                return
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                # The file of a process that has ended.
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
        """Give it up, and remove its file unless that is another gateway's by now."""
        made, self.socket = self.socket, None
        if made is None:
            return
        with contextlib.suppress(OSError), _lock(self._data_dir):
            # While the socket is open no other file can have its inode.
            if _file_at(self.path) == self._file:
                self.path.unlink()
        made.close()


def _file_at(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at a path now."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_served(address: str) -> bool:
    """Whether a process listens at an address, however busy it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            connection.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True
        except OSError as error:
            # A file that is no socket may be replaced; where nothing is known, the file stays.
            return error.errno not in (errno.ENOTSOCK, errno.EPROTOTYPE)
    return True


@contextlib.contextmanager
def _lock(data_dir: Path) -> Iterator[None]:
    """A lock between processes: two that start at once must not take each other's socket for a dead one's."""
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Held for a moment only, and released when its process dies. Not every file system has locks.
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


class ControlServer:
    """Serves the control socket on an event loop; each command is handled by `handle`."""

    def __init__(self, data_dir: Path, handle: Callable[[str], Awaitable[bytes]]) -> None:
        self._control = ControlSocket(data_dir)
        self._handle = handle
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._listening: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._claim()

    async def close(self) -> None:
        """Accept no more commands; those under way get no response."""
        self.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop(self) -> None:
        """Accept no more commands: another gateway may own the socket from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._listen(None)
        self._control.close()

    def _claim(self) -> None:
        self._timer = self._loop.call_later(CLAIM_SECONDS, self._claim)
        # It may be closed by that.
        self._listen(None)
        self._control.keep_claimed()
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
            task = self._loop.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_TRANSFER_SECONDS):
                command = await self._loop.sock_recv(connection, MAX_COMMAND_BYTES)
            response = await self._handle(command.decode("ascii", "replace").strip())
            async with asyncio.timeout(_TRANSFER_SECONDS):
                await self._loop.sock_sendall(connection, response)


def send_command(data_dir: Path, command: str, timeout: float) -> bytes:
    """Send a command to the gateway that runs in a data directory, and wait for its response.

    Raises `NotRunning`, and `GatewayError` when there is no response within `timeout` seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            with _address(data_dir) as address:
                connection.connect(address)
        except OSError as error:
            raise NotRunning(
                f"no gateway runs in {data_dir} ({error.strerror or error}); name its own with --data-dir, or start it"
            ) from error
        response = b""
        try:
            connection.sendall(command.encode() + b"\n")
            while (more := connection.recv(65_536)) and len(response) < _MAX_RESPONSE_BYTES:
                response += more
        except OSError as error:
            raise GatewayError(f"the gateway in {data_dir} does not respond: {error}; its log may say why") from error
    if not response:
        raise GatewayError(f"the gateway in {data_dir} ended before it responded; its log may say why")
    return response


@contextlib.contextmanager
def _address(data_dir: Path) -> Iterator[str]:
    """The socket's address: its path, or where that is too long for one, a short path to the same file."""
    path = str(data_dir / NAME)
    if len(os.fsencode(path)) <= _MAX_ADDRESS_BYTES:
        yield path
        return
    folder = os.open(data_dir, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)
