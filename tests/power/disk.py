"""A disk that loses what was not synced: it records what is written, and returns what a power cut would have left.

A model in memory beside the real files, which are written as ever. Not a test itself; nothing of the gateway is known
here but that it writes through `os`.
"""

import errno
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECTOR = 512


class Content:
    """One file: what is on the disk for certain, and what was written since the last sync."""

    def __init__(self) -> None:
        self.durable = bytearray()
        #: In order: where and what; None cuts the file off there.
        self.pending: list[tuple[int, bytes | None]] = []
        self.size = 0
        #: The name in the directory is on the disk.
        self.named = False
        self.removed = False

    def write(self, offset: int, data: bytes) -> None:
        self.pending.append((offset, data))
        self.size = max(self.size, offset + len(data))

    def truncate(self, size: int) -> None:
        self.pending.append((size, None))
        self.size = size

    def sync(self) -> None:
        for offset, data in self.pending:
            _apply(self.durable, offset, data)
        self.pending.clear()

    def after_a_cut(self, chance: random.Random, mood: str) -> bytes:
        """What is found afterwards: of what was not synced each sector is there, or not, or in part."""
        found = bytearray(self.durable)
        for offset, data in self.pending:
            if data is None:
                if _kept(chance, mood):
                    _apply(found, offset, None)
                continue
            for at in range(0, len(data), SECTOR):
                piece = data[at : at + SECTOR]
                if mood == "sectors" and chance.random() < 0.2:
                    piece = piece[: chance.randrange(len(piece))]
                elif not _kept(chance, mood):
                    continue
                _apply(found, offset + at, piece)
        return bytes(found)


class LossyDisk:
    """The files of one directory tree. `cut_at` is the number of the operation at which the power goes."""

    def __init__(self, root: Path, seed: int, cut_at: int, at_the_cut: Callable[[], None], deaf: str = "") -> None:
        """`at_the_cut` is called in whatever thread then works; `deaf` names what is not synced though asked for:
        "journal", "database", "names", or nothing."""
        self.root = str(root)
        self.chance = random.Random(seed)
        self.left: dict[str, bytes] | None = None
        self._mood = self.chance.choice(["none", "all", "sectors"])
        self._cut_at = cut_at
        self._at_the_cut = at_the_cut
        self._deaf = deaf
        #: The sync of a journal that fails, counted from now; what it should have written is dropped, as kernels do.
        self._fails_at = self.chance.choice([-1, self.chance.randrange(20)])
        self._files: dict[str, Content] = {}
        self._open: dict[int, str] = {}
        self._lock = threading.RLock()

    def cut(self) -> None:
        """The power goes now, if it has not gone."""
        with self._lock:
            if self.left is None:
                self._at_the_cut()
                self.left = {
                    path: content.after_a_cut(self.chance, self._mood)
                    for path, content in self._files.items()
                    if (content.named or _kept(self.chance, self._mood))
                    and not (content.removed and _kept(self.chance, self._mood))
                }

    @contextmanager
    def operation(self) -> Iterator[None]:
        """One step that the power may be cut before."""
        with self._lock:
            self._cut_at -= 1
            if self._cut_at < 0:
                self.cut()
            yield

    def content(self, path: str) -> Content:
        """A file that is there, or is there from now on."""
        content = self._files.get(path)
        if content is None or content.removed:
            content = self._files[path] = Content()
        return content

    def write(self, path: str, offset: int, data: bytes) -> None:
        with self.operation():
            self.content(path).write(offset, data)

    def truncate(self, path: str, size: int) -> None:
        with self.operation():
            self.content(path).truncate(size)

    def sync(self, path: str) -> None:
        with self.operation():
            if path.endswith(".journal"):
                self._fails_at -= 1
                if self._fails_at == 0:
                    self.content(path).pending.clear()
                    raise OSError(errno.EIO, "Input/output error")
            if self._deaf != ("journal" if path.endswith(".journal") else "database"):
                self.content(path).sync()

    def sync_names(self, directory: str) -> None:
        with self.operation():
            if self._deaf == "names":
                return
            for path, content in list(self._files.items()):
                if os.path.dirname(path) == directory:
                    content.named = True
                    if content.removed:
                        del self._files[path]

    def remove(self, path: str, synced: bool = False) -> None:
        with self.operation():
            if path in self._files:
                self._files[path].removed = True
            if synced:
                self.sync_names(os.path.dirname(path))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """ResponseObserver everything under the root that is written through `os`."""
        real = {name: getattr(os, name) for name in ("open", "write", "fdatasync", "fsync", "unlink", "close")}

        def open_(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
            descriptor: int = real["open"](path, flags, mode, **options)
            if os.fspath(path).startswith(self.root):
                self._open[descriptor] = os.fspath(path)
                if flags & os.O_CREAT:
                    with self._lock:
                        self.content(os.fspath(path))
            return descriptor

        def write(descriptor: int, data: bytes) -> int:
            path = self._open.get(descriptor)
            if path is not None:
                self.write(path, self.content(path).size, bytes(data))
            written: int = real["write"](descriptor, data)
            return written

        def fdatasync(descriptor: int) -> None:
            path = self._open.get(descriptor)
            if path is None:
                real["fdatasync"](descriptor)
            else:
                self.sync(path)

        def fsync(descriptor: int) -> None:
            path = self._open.get(descriptor)
            if path is None:
                real["fsync"](descriptor)
            elif os.path.isdir(path):
                self.sync_names(path)
            else:
                self.sync(path)

        def unlink(path: Any, **options: Any) -> None:
            real["unlink"](path, **options)
            self.remove(os.fspath(path))

        def close(descriptor: int) -> None:
            self._open.pop(descriptor, None)
            real["close"](descriptor)

        replaced = {"open": open_, "write": write, "fdatasync": fdatasync, "fsync": fsync, "unlink": unlink}
        for name, function in (replaced | {"close": close}).items():
            setattr(os, name, function)
        try:
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)


def _kept(chance: random.Random, mood: str) -> bool:
    return chance.random() < 0.5 if mood == "sectors" else mood == "all"


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data
