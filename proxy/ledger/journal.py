"""The journal: each record is one line, appended with one write before the last byte of the answer leaves.

On the request path, so: no database, no lock, no await, no sync on the event loop. The page cache outlives a killed
process; `durability = "power"` adds a shared fdatasync in a thread. The records are read by `intake`, never here.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import segments
from proxy.ledger.record import Opened, Record
from proxy.ledger.syncer import Syncer

# Settled requests, and owners of objects, that a failing disk would not take wait here for it, at most so many.
_OWED_LIMIT = 10_000
# Requests under way may still be settled when the backlog has reached its bound: this share of it is theirs.
_RESERVE = 16
# A full disk often has room for a few bytes more: mended is what takes this many.
_PROBE = b" " * 16_383 + b"\n"


class Journal:
    """An append-only record of everything this process served, in segments of a bounded size.

    After a failure the journal goes on in a fresh segment, so a torn line is always the last one of its file.
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
        store. Raises StoreFailed when no segment can be made.
        """
        self.directory = directory
        self.owner = segments.new_owner()
        self._segment_bytes = segment_bytes
        self._bounded = bounded
        self._encode = msgspec.json.Encoder().encode
        self._broken: str | None = None
        self._closed = False
        self._owed: list[bytes] = []
        self._unstored = 0
        #: Per segment not yet known to be stored and closed: bytes of whole records in it, and those already stored.
        self._lengths: dict[str, int] = {}
        self._stored: dict[str, int] = {}
        self._number = 0
        try:
            self._name, self._number, self._descriptor = segments.create(directory, self.owner, 1)
        except OSError as error:
            raise StoreFailed(f"the journal in {directory} cannot be opened: {error.strerror}") from error
        self._lengths[self._name] = 0
        self._rotate_at = segment_bytes
        self._length = 0
        self._syncer = Syncer(directory, self._sync_failed) if durability == "power" else None
        if self._syncer is not None:
            self._syncer.adopt()

    @property
    def failed(self) -> str | None:
        """Why new work must be refused, or None. A later append, or `probe`, may mend it."""
        if self._broken is None and self._unstored >= self._bounded:
            return (
                f"the journal holds {self._unstored} bytes that the database has not taken yet, and that is its bound"
            )
        return self._broken

    @property
    def unstored(self) -> int:
        """Bytes appended and not yet known to be in the database."""
        return self._unstored

    @property
    def owed(self) -> int:
        """Settled requests, and owners of objects, that could not be written and wait in memory for the disk."""
        return len(self._owed)

    def append(self, record: Record, then: Callable[[], None] | None = None) -> None:
        """Write one record; `then` is called once it is durable: before this returns, or in power mode after a sync.

        In power mode `then` is called after a failed sync too; `failed` says so by then. Raises StoreFailed when the
        record was not written. What is no `Opened` is then kept, up to a bound, until the disk takes it.
        """
        line = self._line(record)
        if self._broken is not None or self._closed or self._unstored + len(line) > self._bounded:
            self._admit(record, line)
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                _write_all(self._descriptor, line[written:])
        except OSError as error:
            self._break(error)
            self._owe(record, line)
            raise self._refusal() from error
        self._count(line)
        if self._syncer is not None:
            self._syncer.submit(self._descriptor, then)
        elif then is not None:
            then()
        if self._length >= self._rotate_at:
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

    def probe(self) -> None:
        """Try to mend a broken journal. For a timer: while new work is refused, nobody appends."""
        if self._broken is None or self._closed:
            return
        try:
            self._mend()
        except OSError as error:
            self._break(error)

    def close(self) -> None:
        """End the journal; a later append raises StoreFailed. In power mode this waits for a last sync."""
        if self._closed:
            return
        self._closed = True
        if self._broken is not None and self._owed:
            try:
                self._mend()
            except OSError as error:
                self._break(error)
        if self._syncer is None:
            os.close(self._descriptor)
        else:
            self._syncer.retire(self._descriptor)
            self._syncer.close()

    def _line(self, record: Record) -> bytes:
        try:
            return self._encode(record) + b"\n"
        except (ValueError, TypeError, OverflowError) as error:
            raise StoreFailed(f"request {record.id} has a value that no record can hold: {error}") from error

    def _admit(self, record: Record, line: bytes) -> None:
        """The slow way in: mend, or refuse."""
        if self._closed:
            raise StoreFailed("the journal is closed: the gateway is shutting down")
        if self._broken is not None:
            try:
                self._mend()
            except OSError as error:
                self._break(error)
                self._owe(record, line)
                raise self._refusal() from error
        reserve = 0 if isinstance(record, Opened) else self._bounded // _RESERVE
        if self._unstored + len(line) > self._bounded + reserve:
            raise self._refusal()

    def _count(self, line: bytes) -> None:
        self._length += len(line)
        self._unstored += len(line)

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
        old, self._descriptor = self._descriptor, descriptor
        if self._syncer is None:
            os.close(old)
        else:
            self._syncer.adopt()
            self._syncer.retire(old)
            self._syncer.submit(descriptor, None)
        self._name, self._length = name, 0
        self._lengths[name] = 0
        self._rotate_at = self._segment_bytes
        self._count(first)

    def _mend(self) -> None:
        self._switch(_PROBE + b"".join(self._owed))
        self._owed.clear()
        self._broken = None

    def _break(self, error: OSError) -> None:
        self._broken = f"the journal in {self.directory} cannot be written: {error.strerror}; free or mend the disk"

    def _sync_failed(self, descriptor: int, error: OSError) -> None:
        # The kernel may have dropped the pages that it could not write, and would call the next sync of this file a
        # success: so no more records go into it.
        if descriptor == self._descriptor:
            self._break(error)

    def _owe(self, record: Record, line: bytes) -> None:
        if not isinstance(record, Opened) and len(self._owed) < _OWED_LIMIT:
            self._owed.append(line)

    def _refusal(self) -> StoreFailed:
        return StoreFailed(self.failed or "the journal has no room for this record until the database has taken others")


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
