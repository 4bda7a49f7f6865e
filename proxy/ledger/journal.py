"""The journal: each record is one line, appended with one write before the last byte of the answer leaves.

On the request path, so: no database, no lock, no await, no sync on the event loop. The page cache outlives a killed
process; `durability = "power"` adds a shared fdatasync in a thread. The records are read by `intake`, never here.
"""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import segments
from proxy.ledger.fsync import File, FsyncThread, Then, Written
from proxy.ledger.record import Opened, Record

# Settled requests, and owners of objects, that a failing disk would not take wait here for it, at most so many.
_OWED_LIMIT = 10_000
# Requests under way may still be settled when the backlog has reached its bound: this share of it is theirs.
_RESERVE = 16
# A full disk often has room for a few bytes more: mended is what takes this many.
_PROBE = b" " * 16_383 + b"\n"
# So many bytes may wait for a sync; then the disk is too slow for new work.
_MOST_BEHIND = 16 * 1024 * 1024
# Seconds between two tries to mend a disk whose syncs fail: each costs a segment. Doubled with each, up to the last.
_FIRST_PAUSE = 0.25
_LAST_PAUSE = 10.0

_log = logging.getLogger(__name__)


class Journal:
    """An append-only record of everything this process served, in segments of a bounded size.

    After a failed write or sync the journal goes on in a fresh segment: a torn line is always the last one of its
    file, and what may not have reached the disk is written again.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durability: Durability,
        segment_bytes: int = 4 * 1024 * 1024,
        bounded: int = 256 * 1024 * 1024,
    ) -> None:
        """Open the first segment in `directory`, which must exist.

        `segment_bytes` is the size at which a new segment begins, `bounded` the most bytes that may wait for the
        store. Raises StoreFailed when no segment can be made. "power" needs a running event loop.
        """
        self.directory = directory
        self.owner = segments.new_owner()
        self._segment_bytes = segment_bytes
        self._bounded = bounded
        self._encode = msgspec.json.Encoder().encode
        self._broken: str | None = None
        #: The segment may be written. While broken, it is one that has been written and not been synced yet.
        self._usable = True
        self._full = False
        self._closed = False
        self._owed: list[Written] = []
        self._pause = _FIRST_PAUSE
        self._mend_after = 0.0
        self._unstored = 0
        #: What fewer bytes than this wait takes a record without another look: `bounded`, or 0 while there is a fault.
        self._room = bounded
        #: Per segment not yet known to be stored and closed: bytes of whole records in it, and those already stored.
        self._lengths: dict[str, int] = {}
        self._stored: dict[str, int] = {}
        self._number = 0
        try:
            self._name, self._number, self._descriptor = segments.create(directory, self.owner, 1)
        except OSError as error:
            raise StoreFailed(
                f"the journal in {directory} cannot be opened: {error.strerror}; free or mend the disk, and let the "
                "gateway's user write there"
            ) from error
        self._lengths[self._name] = 0
        self._rotate_at = segment_bytes
        self._length = 0
        self._file = File(self._descriptor)
        self._syncer = FsyncThread(directory, self._sync_failed) if durability == "power" else None
        if self._syncer is not None:
            self._syncer.adopt()

    @property
    def failed(self) -> str | None:
        """Why new work must be refused, or None. A later append, or `probe`, may mend it."""
        if self._broken is None and self._unstored >= self._bounded:
            return (
                f"the journal holds {self._unstored} bytes that the database has not taken yet, and that is its bound"
            )
        if self._syncer is not None and self._syncer.behind > _MOST_BEHIND:
            return f"the disk of {self.directory} has not synced {self._syncer.behind} bytes of the journal yet"
        return self._broken

    @property
    def segment(self) -> str:
        """The name of the segment that is written now."""
        return self._name

    @property
    def fullness(self) -> float:
        """What is not known to be in the database, as a share of the most that may be."""
        return self._unstored / self._bounded

    @property
    def unstored(self) -> int:
        """Bytes appended and not yet known to be in the database."""
        return self._unstored

    @property
    def owed(self) -> int:
        """Settled requests, and owners of objects, that could not be written and wait in memory for the disk."""
        return len(self._owed)

    def append(self, record: Record, then: Then = None) -> None:
        """Write one record; `then` is called once it is durable: before this returns, or in power mode after a sync.

        A record whose sync failed is written again, elsewhere; only if that fails too is `then` called all the same,
        and the record kept in memory. Raises StoreFailed when the record was not written: what is no `Opened` is then
        kept, up to a bound, until the disk takes it.
        """
        try:
            line = self._encode(record) + b"\n"
        except (ValueError, TypeError, OverflowError) as error:
            raise StoreFailed(f"request {record.id} has a value that no record can hold: {error}") from error
        size = len(line)
        if self._unstored + size >= self._room:
            self._admit(record, line)
        try:
            written = os.write(self._descriptor, line)
            if written != size:
                _write_all(self._descriptor, line[written:])
        except OSError as error:
            self._break(_cannot_write(self.directory, error))
            self._owe(record, line)
            raise self._refusal() from error
        length = self._length = self._length + size
        unstored = self._unstored = self._unstored + size
        if unstored >= self._room:
            self._tell_full()
        if self._syncer is not None:
            self._syncer.submit(self._file, line, then)
        elif then is not None:
            then()
        if length >= self._rotate_at:
            self._rotate()

    def positions(self) -> dict[str, int]:
        """Bytes of whole records in each segment that is not yet known to be stored."""
        return self._lengths | {self._name: self._length}

    def is_stored(self, positions: Mapping[str, int]) -> bool:
        """Whether all up to earlier `positions` is known to be in the database."""
        return all(
            name not in self._lengths or self._stored.get(name, 0) >= length for name, length in positions.items()
        )

    def acknowledge(self, name: str, offset: int) -> None:
        """The first `offset` bytes of a segment are in the database. Segments of others are ignored."""
        length = self._length if name == self._name else self._lengths.get(name)
        if length is None:
            return
        offset = min(offset, length)
        self._unstored -= max(offset - self._stored.get(name, 0), 0)
        self._stored[name] = max(offset, self._stored.get(name, 0))
        if name != self._name and offset == length:
            del self._lengths[name]
            del self._stored[name]
        if self._full and self._unstored < self._bounded:
            self._full = False
            _log.warning("the database takes the journal again; new work is taken")

    def probe(self) -> None:
        """Look after the journal: see that it is still there, and try to mend a broken one. For a timer: while new
        work is refused, nobody appends."""
        if self._closed:
            return
        if self._broken is None and not self._is_there():
            self._break(f"{self.directory} was removed or replaced while the gateway runs; put it back")
        if not self._usable:
            self._try_to_mend()

    def close(self) -> None:
        """End the journal; a later append raises StoreFailed. In power mode this waits for a last sync."""
        if self._closed:
            return
        self._closed = True
        self._room = 0
        if self._syncer is not None:
            self._syncer.close()
        self._let_go()
        if self._owed or not self._is_there():
            self._write_last()
        os.close(self._descriptor)

    def _admit(self, record: Record, line: bytes) -> None:
        """The slow way in: mend, or refuse."""
        if self._closed:
            raise StoreFailed("the journal is closed: the gateway is shutting down")
        if not self._usable and not self._try_to_mend():
            self._owe(record, line)
            raise self._refusal()
        if self._broken is not None and isinstance(record, Opened):
            raise self._refusal()
        reserve = 0 if isinstance(record, Opened) else self._bounded // _RESERVE
        if self._unstored + len(line) > self._bounded + reserve:
            raise self._refusal()

    def _count(self, written: bytes) -> None:
        self._length += len(written)
        self._unstored += len(written)
        self._tell_full()

    def _tell_full(self) -> None:
        if self._unstored >= self._bounded and not self._full:
            self._full = True
            _log.error("new work is refused: %s", self.failed)

    def _rotate(self) -> None:
        try:
            self._switch()
        except OSError:
            # The old segment still takes records, and that is what counts; the next try is one segment further on.
            self._rotate_at = self._length + self._segment_bytes

    def _switch(self, first: bytes = b"") -> None:
        """Go on in a new segment that begins with `first`; if that fails, nothing has changed. Raises OSError."""
        name, self._number, descriptor = segments.create(self.directory, self.owner, self._number + 1)
        try:
            _write_all(descriptor, first)
        except OSError:
            (self.directory / name).unlink()
            os.close(descriptor)
            raise
        # The new segment is locked before the old one is let go: at any moment the owner holds one.
        self._lengths[self._name] = self._length
        old, self._file, self._descriptor = self._file, File(descriptor), descriptor
        if self._syncer is None:
            os.close(old.descriptor)
        else:
            self._syncer.adopt()
            self._syncer.retire(old)
        self._name, self._length = name, 0
        self._lengths[name] = 0
        self._rotate_at = self._segment_bytes
        self._count(first)

    def _try_to_mend(self) -> bool:
        """Go on in a new segment with what is owed; whether that worked, as far as can be told without a sync."""
        if time.monotonic() < self._mend_after:
            return False
        owed = self._owed
        try:
            self._switch(_PROBE + self._rest() + b"".join([line for line, _ in owed]))
        except OSError as error:
            if self._is_there():
                self._break(_cannot_write(self.directory, error))
            self._let_go()
            return False
        self._owed = []
        self._usable = True
        if self._syncer is None:
            self._mended()
        else:
            for line, then in owed:
                self._syncer.submit(self._file, line, then)
            self._syncer.submit(self._file, b"", self._mended)
        return True

    def _mended(self) -> None:
        if self._usable and self._broken is not None:
            self._broken = None
            self._room = 0 if self._closed else self._bounded
            self._pause = _FIRST_PAUSE
            _log.warning("the journal in %s is written again; new work is taken", self.directory)

    def _break(self, reason: str) -> None:
        if self._broken is None:
            _log.error("new work is refused: %s", reason)
        self._broken = reason
        self._room = 0
        self._usable = False

    def _sync_failed(self, file: File, error: OSError, written: list[Written]) -> None:
        again = self._broken is not None and file is self._file
        self._break(_cannot_write(self.directory, error))
        self._owed += [(line, then) for line, then in written if line]
        if self._closed:
            return
        if again:
            # The segment that was to mend it failed as well. Nobody is kept waiting for such a disk.
            self._mend_after = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LAST_PAUSE)
            self._let_go()
        else:
            self._try_to_mend()

    def _let_go(self) -> None:
        """Let answers end whose bills are kept in memory until the disk takes them."""
        if self._syncer is not None:
            for _, then in self._owed:
                self._syncer.tell(then)
            self._owed = [(line, None) for line, _ in self._owed]

    def _write_last(self) -> None:
        """What could not be written until now, at the end: to a last segment, or to the log, where it can be found."""
        lines = b"".join([line for line, _ in self._owed])
        try:
            lines = self._rest() + lines
            if not lines:
                return
            _, _, descriptor = segments.create(self.directory, self.owner, self._number + 1)
            try:
                _write_all(descriptor, lines)
                if self._syncer is not None:
                    os.fdatasync(descriptor)
                    segments.sync(self.directory)
            finally:
                os.close(descriptor)
            self._owed.clear()
        except OSError as error:
            _log.error(
                "%s. It holds these records in memory alone: save them there as recovered-1.journal before the next "
                "start\n%s",
                _cannot_write(self.directory, error),
                lines.decode(),
            )

    def _is_there(self) -> bool:
        return segments.is_there(self.directory / self._name, self._descriptor)

    def _rest(self) -> bytes:
        """What a segment that was removed held beyond what the database has."""
        if self._is_there():
            return b""
        stored = self._stored.get(self._name, 0)
        return os.pread(self._descriptor, self._length - stored, stored)

    def _owe(self, record: Record, line: bytes) -> None:
        if not isinstance(record, Opened) and len(self._owed) < _OWED_LIMIT:
            self._owed.append((line, None))

    def _refusal(self) -> StoreFailed:
        return StoreFailed(self.failed or "the journal has no room for this record until the database has taken others")


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _cannot_write(directory: Path, error: OSError) -> str:
    return f"the journal in {directory} cannot be written: {error.strerror}; free or mend the disk"
