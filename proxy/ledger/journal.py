"""The journal: each record is one line, appended with one write before the last byte of the response leaves.

It is on the request path, so: no database, no lock, no await, and no sync on the event loop. The page cache outlives a
killed process; `durability = "power"` adds a shared fdatasync in a thread. `journal_reader` reads the records.
"""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import segments
from proxy.ledger.backlog import Backlog, Segment
from proxy.ledger.fsync import Callback, FsyncThread, PendingRecord
from proxy.ledger.record import AttemptRecord, Record

#: Records, but for `AttemptRecord`, that a failing disk did not take and that are kept in memory for it.
_MAX_UNWRITTEN_RECORDS: Final = 10_000
#: Requests under way may still be settled when the backlog is full: this part of it is reserved for them.
_RESERVED_PART: Final = 16
#: A full disk often has room for a few bytes: it has recovered when it takes this many.
_PROBE: Final = b" " * 16_383 + b"\n"
#: Bytes that may wait for a sync; beyond it the disk is too slow for new requests.
_MAX_UNSYNCED_BYTES: int = 16 * 1024 * 1024
#: Seconds between two attempts to recover a disk whose syncs fail: each costs a segment. Doubled up to the maximum.
_MIN_RETRY_SECONDS: Final = 0.25
_MAX_RETRY_SECONDS: Final = 10.0

#: States. The segment is written and the disk takes it.
_OPEN: Final = 0
#: After a failure a new segment was written, but not synced yet: new requests are refused, settled ones are written.
_RECOVERING: Final = 1
#: The segment must not be written any more.
_FAILED: Final = 2
_CLOSED: Final = 3

_log = logging.getLogger(__name__)


class _Backoff:
    """When a disk whose syncs fail may be tried again."""

    def __init__(self) -> None:
        self._seconds = _MIN_RETRY_SECONDS
        self._retry_at = 0.0

    def may_retry(self) -> bool:
        return time.monotonic() >= self._retry_at

    def delay(self) -> None:
        self._retry_at = time.monotonic() + self._seconds
        self._seconds = min(2 * self._seconds, _MAX_RETRY_SECONDS)

    def reset(self) -> None:
        self._seconds = _MIN_RETRY_SECONDS


class Journal:
    """An append-only log of all requests of this process, in segments of a bounded size.

    After a failed write or sync it continues in a new segment: a torn line is always the last one of its file, and what
    may not have reached the disk is written again.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durability: Durability,
        segment_bytes: int = 4 * 1024 * 1024,
        max_unstored_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        """Create the first segment in `directory`, which must exist.

        `segment_bytes` is the size at which a new segment begins, `max_unstored_bytes` what may wait for the database.
        Raises StoreFailed when no segment can be created. "power" needs a running event loop.
        """
        self.directory = directory
        self.owner = segments.new_owner()
        self._segment_bytes = segment_bytes
        self._encode = msgspec.json.Encoder().encode
        self._state = _OPEN
        #: Why the disk does not take records, or None.
        self._failure: str | None = None
        self._backoff = _Backoff()
        self._unwritten: list[PendingRecord] = []
        self._backlog = Backlog(max_unstored_bytes)
        #: With fewer unstored bytes than this a record is appended without further checks; 0 after a failure.
        self._unchecked_bytes = max_unstored_bytes
        try:
            self._segment = Segment(*segments.create(directory, self.owner, 1), segment_bytes)
        except OSError as error:
            raise StoreFailed(
                f"the journal in {directory} cannot be opened: {error.strerror}; free or mend the disk, and let the "
                "gateway's user write there"
            ) from error
        self._backlog.add(self._segment)
        self._fsync = FsyncThread(directory, self._sync_failed) if durability == "power" else None
        if self._fsync is not None:
            self._fsync.segment_created()

    @property
    def failed(self) -> str | None:
        """Why new requests must be refused, or None. A later append or `probe` may recover."""
        if self._failure is None and self._backlog.is_full:
            return f"the journal holds {self.unstored} bytes that the database has not taken yet, and that is its bound"
        if self._fsync is not None and self._fsync.unsynced > _MAX_UNSYNCED_BYTES:
            return f"the disk of {self.directory} has not synced {self._fsync.unsynced} bytes of the journal yet"
        return self._failure

    @property
    def segment(self) -> str:
        """The name of the segment that is written now."""
        return self._segment.name

    @property
    def position(self) -> tuple[int, int]:
        """The number of the segment that is written now, and the bytes of it."""
        return self._segment.number, self._segment.length

    @property
    def fullness(self) -> float:
        """The unstored bytes as a ratio of their maximum."""
        return self._backlog.unstored / self._backlog.max_bytes

    @property
    def unstored(self) -> int:
        """Bytes appended and not known to be in the database."""
        return self._backlog.unstored

    @property
    def unwritten(self) -> int:
        """Records that could not be written and wait in memory for the disk."""
        return len(self._unwritten)

    def append(self, record: Record, on_durable: Callback = None) -> None:
        """Write one record; `on_durable` is called before this returns, or in power mode after a sync.

        A record whose sync failed is written again, elsewhere; if that fails too, `on_durable` is called all the same
        and the record kept in memory. Raises StoreFailed when the record was not written: it is then kept, up to a
        bound, until the disk takes it, unless it is an `AttemptRecord`.
        """
        try:
            line = self._encode(record) + b"\n"
        except (ValueError, TypeError, OverflowError) as error:
            raise StoreFailed(f"request {record.id} has a value that no record can hold: {error}") from error
        size = len(line)
        backlog, segment = self._backlog, self._segment
        if backlog.unstored + size >= self._unchecked_bytes:
            self._check(record, line)
            segment = self._segment
        try:
            written = os.write(segment.descriptor, line)
            if written != size:
                _write_all(segment.descriptor, line[written:])
        except OSError as error:
            self._fail(_cannot_write(self.directory, error))
            self._keep(record, line)
            raise self._refusal() from error
        length = segment.length = segment.length + size
        unstored = backlog.unstored = backlog.unstored + size
        if unstored >= self._unchecked_bytes:
            self._log_full(unstored - size)
        if self._fsync is not None:
            self._fsync.submit(segment, line, on_durable)
        elif on_durable is not None:
            on_durable()
        if length >= segment.rotate_at:
            self._rotate()

    def positions(self) -> dict[str, int]:
        """Bytes of whole records in each segment that is not known to be stored."""
        return self._backlog.positions()

    def is_stored(self, positions: Mapping[str, int]) -> bool:
        """Whether everything up to earlier `positions` is known to be in the database."""
        return self._backlog.is_stored(positions)

    def acknowledge(self, name: str, offset: int) -> None:
        """Note that the first `offset` bytes of a segment are in the database. Other journals' segments are ignored."""
        was_full = self._backlog.is_full
        self._backlog.acknowledge(name, offset)
        if was_full and not self._backlog.is_full:
            _log.warning("the database takes the journal again; new work is taken")

    def probe(self) -> None:
        """Check that the segment still exists, and try to recover from a failure. For a timer: while new requests are
        refused, nothing is appended."""
        if self._state == _OPEN and not self._exists():
            self._fail(f"{self.directory} was removed or replaced while the gateway runs; put it back")
        if self._state == _FAILED:
            self._recover()

    def close(self) -> None:
        """Close the journal; a later append raises StoreFailed. In power mode this waits for a last sync."""
        if self._state == _CLOSED:
            return
        self._state = _CLOSED
        self._unchecked_bytes = 0
        if self._fsync is not None:
            self._fsync.close()
        self._release_callbacks()
        if self._unwritten or not self._exists():
            self._write_last()
        os.close(self._segment.descriptor)

    def _check(self, record: Record, line: bytes) -> None:
        """Recover from a failure if there is one, or raise StoreFailed."""
        if self._state == _CLOSED:
            raise StoreFailed("the journal is closed: the gateway is shutting down")
        if self._state == _FAILED and not self._recover():
            self._keep(record, line)
            raise self._refusal()
        if self._state == _RECOVERING and isinstance(record, AttemptRecord):
            raise self._refusal()
        max_bytes = self._backlog.max_bytes
        reserve = 0 if isinstance(record, AttemptRecord) else max_bytes // _RESERVED_PART
        if self._backlog.unstored + len(line) > max_bytes + reserve:
            raise self._refusal()

    def _log_full(self, before: int) -> None:
        """Log that the backlog has become full; it had so many bytes before."""
        if before < self._backlog.max_bytes <= self._backlog.unstored:
            _log.error("new work is refused: %s", self.failed)

    def _rotate(self) -> None:
        try:
            self._switch()
        except OSError:
            # The old segment still takes records; try again a segment's size further on.
            self._segment.rotate_at = self._segment.length + self._segment_bytes

    def _switch(self, first: bytes = b"") -> None:
        """Continue in a new segment that begins with `first`. Raises OSError, and then nothing has changed."""
        old = self._segment
        new = Segment(*segments.create(self.directory, self.owner, old.number + 1), self._segment_bytes)
        try:
            _write_all(new.descriptor, first)
        except OSError:
            (self.directory / new.name).unlink()
            os.close(new.descriptor)
            # The next attempt uses another name.
            old.number = new.number
            raise
        # The new segment is locked before the old one is closed: the owner always holds a lock.
        old.ended = True
        if self._fsync is None:
            os.close(old.descriptor)
        else:
            self._fsync.segment_created()
            self._fsync.close_segment(old)
        self._segment = new
        self._backlog.add(new)
        new.length = len(first)
        self._backlog.unstored += len(first)
        self._log_full(self._backlog.unstored - len(first))

    def _recover(self) -> bool:
        """Continue in a new segment with the unwritten records; whether that worked, as far as known without a sync."""
        if not self._backoff.may_retry():
            return False
        unwritten = self._unwritten
        try:
            self._switch(_PROBE + self._unstored_rest() + b"".join([line for line, _ in unwritten]))
        except OSError as error:
            if self._exists():
                self._fail(_cannot_write(self.directory, error))
            self._release_callbacks()
            return False
        self._unwritten = []
        self._state = _RECOVERING
        if self._fsync is None:
            self._recovered()
        else:
            for line, on_durable in unwritten:
                self._fsync.submit(self._segment, line, on_durable)
            self._fsync.submit(self._segment, b"", self._recovered)
        return True

    def _recovered(self) -> None:
        """The disk has taken the new segment."""
        if self._failure is None or self._state == _FAILED:
            return
        self._failure = None
        if self._state == _RECOVERING:
            self._state = _OPEN
            self._unchecked_bytes = self._backlog.max_bytes
        self._backoff.reset()
        _log.warning("the journal in %s is written again; new work is taken", self.directory)

    def _fail(self, reason: str) -> None:
        if self._failure is None:
            _log.error("new work is refused: %s", reason)
        self._failure = reason
        self._unchecked_bytes = 0
        if self._state != _CLOSED:
            self._state = _FAILED

    def _sync_failed(self, segment: Segment, error: OSError, records: list[PendingRecord]) -> None:
        again = self._failure is not None and segment is self._segment
        self._fail(_cannot_write(self.directory, error))
        self._unwritten += [(line, on_durable) for line, on_durable in records if line]
        if self._state == _CLOSED:
            return
        if again:
            # The segment that was to replace the failed one failed as well: no response waits for such a disk.
            self._backoff.delay()
            self._release_callbacks()
        else:
            self._recover()

    def _release_callbacks(self) -> None:
        """Let responses end whose records are kept in memory until the disk takes them."""
        if self._fsync is not None:
            for _, on_durable in self._unwritten:
                self._fsync.call(on_durable)
            self._unwritten = [(line, None) for line, _ in self._unwritten]

    def _write_last(self) -> None:
        """Write what could not be written until now to a last segment, or else to the log, where it can be found."""
        lines = b"".join([line for line, _ in self._unwritten])
        try:
            lines = self._unstored_rest() + lines
            if not lines:
                return
            _, _, descriptor = segments.create(self.directory, self.owner, self._segment.number + 1)
            try:
                _write_all(descriptor, lines)
                if self._fsync is not None:
                    os.fdatasync(descriptor)
                    segments.sync(self.directory)
            finally:
                os.close(descriptor)
            self._unwritten.clear()
        except OSError as error:
            _log.error(
                "%s. It holds these records in memory alone: save them there as recovered-1.journal before the next "
                "start\n%s",
                _cannot_write(self.directory, error),
                lines.decode(),
            )

    def _exists(self) -> bool:
        return segments.is_there(self.directory / self._segment.name, self._segment.descriptor)

    def _unstored_rest(self) -> bytes:
        """What a segment that was removed held beyond what is in the database; nothing while it exists."""
        if self._exists():
            return b""
        segment = self._segment
        return os.pread(segment.descriptor, segment.length - segment.stored, segment.stored)

    def _keep(self, record: Record, line: bytes) -> None:
        if not isinstance(record, AttemptRecord) and len(self._unwritten) < _MAX_UNWRITTEN_RECORDS:
            self._unwritten.append((line, None))

    def _refusal(self) -> StoreFailed:
        return StoreFailed(self.failed or "the journal has no room for this record until the database has taken others")


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _cannot_write(directory: Path, error: OSError) -> str:
    return f"the journal in {directory} cannot be written: {error.strerror}; free or mend the disk"
