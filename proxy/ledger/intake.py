"""Reading the journal: what the segments hold beyond what is stored already, as one bounded batch.

Runs in a thread beside the event loop. It reads and judges; the database is `writer`'s. Nothing is deleted here.
"""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from proxy.ledger import segments
from proxy.ledger.record import Final, Opened, Owned, Record

#: Most records in one batch.
BATCH = 2_000
# Bytes read at once; a longer line is damaged.
_CHUNK = 256 * 1024
# After this many records a thread lets the event loop run, for so many seconds: Python itself would let the loop wait
# for up to 5 ms. A sleep of 0 is too short for the loop's thread to wake and take its turn.
_BREATH_RECORDS = 50
_BREATH_SECONDS = 0.0001
# Bounds of a record that can be true; without them one absurd number from an upstream would overflow the sums.
_MOST = 10**12
_MOST_COST = 10**15
_MOST_STARTED = 10**16

_Item = TypeVar("_Item")

_log = logging.getLogger(__name__)


class Batch(msgspec.Struct):
    """What one look at the journal found."""

    #: Settled requests by id.
    finals: dict[str, Final] = {}
    #: Upstream calls by request id, with the journal's owner, of requests not settled in this batch.
    opens: dict[str, tuple[str, Opened]] = {}
    #: Owners of objects by the object's id; the deletion where one was deleted.
    owned: dict[str, Owned] = {}
    #: How far each segment is read, of those that moved.
    offsets: dict[str, int] = {}
    #: Segments that are closed and read to the end, with their size.
    finished: dict[str, int] = {}
    #: Owners that live, or whose records are not all read.
    living: set[str] = msgspec.field(default_factory=set)
    #: All segments seen.
    names: set[str] = msgspec.field(default_factory=set)
    #: Whether there is more to read at once.
    more: bool = False
    #: Lines that are no records, by segment.
    damaged: dict[str, list[bytes]] = {}


class Intake:
    """Reads the segments in `directory`."""

    def __init__(self, directory: Path, *, batch: int = BATCH) -> None:
        self._directory = directory
        self._batch = batch
        self._decode = msgspec.json.Decoder(Record).decode

    def read(self, offsets: Mapping[str, int]) -> Batch:
        """The next records after `offsets`. Keeps damaged lines aside in `damaged/`. Raises OSError."""
        batch = Batch()
        names = segments.names(self._directory)
        # Before reading: what a closed segment holds then is all that it will ever hold.
        closed = {name for name in names if segments.is_closed(self._directory / name)}
        # An owner opens its next segment before it lets go of the last: one that is new by now means that it lives.
        late = set(segments.names(self._directory)).difference(names)
        batch.living = {segments.owner_of(name) for name in late.union(names) - closed}
        batch.names = late.union(names)
        room = self._batch
        for name in names:
            room -= self._read_segment(name, offsets.get(name, 0), name in closed, room, batch)
        self._keep_damaged(batch.damaged)
        return batch

    def _read_segment(self, name: str, offset: int, closed: bool, room: int, batch: Batch) -> int:
        start, count, ended = offset, 0, False
        path = self._directory / name
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            while count < room and not ended:
                chunk = os.pread(file.fileno(), _CHUNK, offset)
                lines, used = _lines(chunk, room - count)
                for line in breathing(lines):
                    self._take(name, line, batch)
                count += len(lines)
                offset += used
                ended = not used
        if offset != start:
            batch.offsets[name] = offset
        if not ended:
            batch.more = True
            batch.living.add(segments.owner_of(name))
        elif closed:
            batch.finished[name] = size
        return count

    def _take(self, name: str, line: bytes, batch: Batch) -> None:
        if not line or line.isspace():
            return
        try:
            record = self._decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            batch.damaged.setdefault(name, []).append(line)
            return
        if isinstance(record, Opened):
            known = batch.opens.get(record.id)
            if record.id not in batch.finals and (known is None or known[1].attempt <= record.attempt):
                batch.opens[record.id] = (segments.owner_of(name), record)
        elif isinstance(record, Owned):
            first = batch.owned.get(record.id)
            if record.gone or first is None or first.gone or first.key == record.key:
                batch.owned[record.id] = record
        elif not _possible(record):
            batch.damaged.setdefault(name, []).append(line)
        else:
            batch.finals.setdefault(record.id, record)
            batch.opens.pop(record.id, None)

    def _keep_damaged(self, damaged: Mapping[str, list[bytes]]) -> None:
        for name, lines in damaged.items():
            folder = self._directory / "damaged"
            folder.mkdir(mode=0o700, exist_ok=True)
            with (folder / name).open("ab") as file:
                file.write(b"\n".join(lines) + b"\n")
            _log.warning("%d damaged journal lines were put aside in %s", len(lines), folder / name)


def breathing(items: Iterable[_Item]) -> Iterator[_Item]:
    """The items, with pauses in which the event loop gets its turn. For work in a thread."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _BREATH_RECORDS == 0:
            time.sleep(_BREATH_SECONDS)


def interrupted(opened: Opened) -> Final:
    """The row of a request whose process died before it was settled; what it cost is not known."""
    return Final(
        id=opened.id,
        started=opened.started,
        key=opened.key,
        alias=opened.alias,
        endpoint=opened.endpoint,
        upstream=opened.upstream,
        upstream_model=opened.upstream_model,
        stream=opened.stream,
        status=0,
        outcome="interrupted",
        attempts=opened.attempt,
    )


def _lines(chunk: bytes, most: int) -> tuple[list[bytes], int]:
    """Whole lines at the start of a chunk, at most so many, and the bytes they take."""
    lines = chunk.split(b"\n", most)
    rest = lines.pop()
    used = len(chunk) - len(rest)
    if not lines and len(chunk) == _CHUNK:
        # No line is that long: it goes aside piece by piece, and reading goes on behind it.
        return [chunk], len(chunk)
    return lines, used


def _possible(final: Final) -> bool:
    numbers = (
        final.status,
        final.attempts,
        final.input_tokens,
        final.cached_input_tokens,
        final.cache_write_tokens,
        final.output_tokens,
        final.reasoning_tokens,
        final.audio_milliseconds,
        final.images,
        final.ttft or 0,
        final.total,
        final.overhead,
        final.bytes_out,
        final.text_in,
        final.text_out,
    )
    return (
        min(numbers) >= 0
        and max(numbers) <= _MOST
        and 0 <= (final.cost or 0) <= _MOST_COST
        and 0 <= final.started <= _MOST_STARTED
    )
