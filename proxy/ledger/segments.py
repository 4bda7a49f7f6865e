"""The journal's files: names, owners, and locks that say whether an owner is alive. No record is read or written here.

A segment is `OWNER-NUMBER.journal`, append-only, one JSON record a line. Its owner, one `Journal` in one process, holds
an flock on it until it begins the next segment, closes the journal, or dies.
"""

import fcntl
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

SUFFIX = ".journal"
# Attempts to create a segment: one fails only when an ingester opened the file in the microseconds between its creation
# and its lock.
_MAX_ATTEMPTS = 8


def new_owner() -> str:
    """A unique name for a new journal, sortable by time."""
    return f"{time.time_ns():016x}.{os.getpid()}.{secrets.token_hex(4)}"


def owner_of(name: str) -> str:
    """The owner that a segment's name contains."""
    return name[: -len(SUFFIX)].rpartition("-")[0]


def number_of(name: str) -> int:
    """The number that a segment's name contains."""
    return int(name[: -len(SUFFIX)].rpartition("-")[2])


def names(directory: Path) -> list[str]:
    """The segments in a directory, oldest first. Raises OSError."""
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries if entry.name.endswith(SUFFIX))


def sizes(directory: Path, *, except_owner: str) -> dict[str, int]:
    """The segments of all owners but one, with their sizes in bytes. Raises OSError."""
    found: dict[str, int] = {}
    for name in names(directory):
        if owner_of(name) != except_owner:
            # A segment that is gone by now was stored.
            with suppress(FileNotFoundError):
                found[name] = os.stat(directory / name).st_size
    return found


def create(directory: Path, owner: str, number: int) -> tuple[str, int, int]:
    """Create and lock the owner's next segment; returns its name, number and descriptor. Raises OSError.

    A segment is removed only by an ingester that holds its lock, and then has no links left: so a descriptor that is
    locked and still has a name is safe to append to.
    """
    for number_ in range(number, number + _MAX_ATTEMPTS):
        name = f"{owner}-{number_:08d}{SUFFIX}"
        descriptor = os.open(directory / name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        if try_lock(descriptor) and os.fstat(descriptor).st_nlink:
            return name, number_, descriptor
        os.close(descriptor)
    raise BlockingIOError(f"{directory}: no new segment could be locked")


def is_there(path: Path, descriptor: int) -> bool:
    """Whether the path still names the open segment."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def is_closed(path: Path) -> bool:
    """Whether no process appends to the segment any more. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return try_lock(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path, size: int) -> bool:
    """Delete a closed segment, unless it is locked or has grown past `size`; returns whether it did. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if not try_lock(descriptor) or os.fstat(descriptor).st_size > size:
            return False
        path.unlink()
        return True
    finally:
        os.close(descriptor)


def sync(directory: Path) -> None:
    """Sync a directory: without it a power failure loses the name of a new file, or restores that of a removed one.

    Raises OSError.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Try to lock an open file, without waiting. Closing the descriptor releases the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
