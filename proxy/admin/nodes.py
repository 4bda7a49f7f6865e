"""Nodes: the workers that run now in one data directory, by a file of each that is locked while its process lives."""

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from proxy import __version__
from proxy.errors import StoreFailed

FOLDER: Final = "nodes"
_MAX_FILE_BYTES: Final = 4_096


class Node(msgspec.Struct, frozen=True):
    """One worker. `started_at` is ISO 8601, UTC."""

    id: str
    addr: str
    started_at: str
    version: str
    status: Literal["active", "draining"]
    pid: int


class Nodes:
    """This worker's own entry, and the entries of all. A killed one is gone at once: its lock ends with its process."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER
        self.id = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self._file: int | None = None
        self._node: Node | None = None
        #: The shutdown of this worker has begun.
        self.is_draining = False

    def register(self, address: str) -> None:
        """Enter this worker, which serves at an address. Raises `StoreFailed`."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._node = Node(self.id, address, started, __version__, "active", os.getpid())
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            part = self._folder / f"{self.id}.part"
            self._file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._write(self._node)
            # Under its own name it is never without its lock: other workers take it for a dead one's then.
            part.rename(self._path(self.id))
        except OSError as error:
            raise StoreFailed(f"{self._folder} cannot be written: {error.strerror or error}") from error

    def drain(self) -> None:
        """The shutdown of this worker has begun."""
        self.is_draining = True
        if self._node is not None:
            self._node = msgspec.structs.replace(self._node, status="draining")
            with contextlib.suppress(OSError):
                self._write(self._node)

    def close(self) -> None:
        """Remove this worker's entry."""
        file, self._file, self._node = self._file, None, None
        if file is not None:
            with contextlib.suppress(OSError):
                self._path(self.id).unlink()
            os.close(file)

    def running(self) -> list[Node]:
        """The workers that run now, the oldest first. Reads files: not for the event loop."""
        return sorted(self._found(), key=lambda node: (node.started_at, node.pid))

    def _found(self) -> Iterator[Node]:
        for path in self._folder.glob("*.json"):
            if self._node is not None and path.stem == self.id:
                yield self._node
                continue
            with contextlib.suppress(OSError, msgspec.DecodeError):
                with path.open("rb") as file:
                    if _is_locked(file.fileno()):
                        yield msgspec.json.decode(file.read(_MAX_FILE_BYTES), type=Node)
                        continue
                # Of a worker that was killed.
                path.unlink()

    def _write(self, node: Node) -> None:
        if self._file is not None:
            data = msgspec.json.encode(node)
            os.pwrite(self._file, data, 0)
            os.ftruncate(self._file, len(data))

    def _path(self, id_: str) -> Path:
        return self._folder / f"{id_}.json"


def _is_locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
