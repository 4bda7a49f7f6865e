"""Reading the journal: what the segments hold beyond what is stored already, as one bounded batch.

Runs in a thread beside the event loop. It reads and judges; the database is `writer`'s. Nothing is deleted here.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from proxy.clock.gil import yield_gil
from proxy.ledger import segments
from proxy.ledger.record import Final, Opened, Owned, Record

#: Most records in one batch.
BATCH = 2_000
# Bytes read at once; a longer line is damaged.
_CHUNK = 256 * 1024
# After this many lines the event loop has its turn.
_BREATH_LINES = 200
# How the lines of the two frequent records begin, as the journal writes them.
_FINAL = b'{"event":"final",'
_OPEN = b'{"event":"open","id":"'
# Where the id of either lies.
_OPEN_ID = slice(len(_OPEN), len(_OPEN) + len("req_") + 32)
_FINAL_ID = slice(len(_FINAL) + len('"id":"'), len(_FINAL) + len('"id":"') + len("req_") + 32)

# What a line raises that is no record.
_NO_RECORD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_log = logging.getLogger(__name__)


class Batch(msgspec.Struct):
    """What one look at the journal found."""

    #: Settled requests by id.
    finals: dict[str, Final] = {}
    #: Upstream calls by request id, with the journal's owner, of requests not settled in this batch.
    opens: dict[str, tuple[str, Opened]] = {}
    #: Lines of upstream calls as they were found, by segment: few are ever decoded, for most are settled at once.
    calls: dict[str, list[bytes]] = {}
    #: The ids of settled requests as their lines have them.
    settled: set[bytes] = set()
    #: Owners of objects, and deletions, in the order in which they were written.
    owned: list[Owned] = []
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


class JournalReader:
    """Reads the segments in `directory`."""

    def __init__(self, directory: Path, *, batch: int = BATCH) -> None:
        self._directory = directory
        self._batch = batch
        self._decode = msgspec.json.Decoder(Record).decode
        self._decode_final = msgspec.json.Decoder(Final).decode

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
        yield_gil()
        room = self._batch
        for name in names:
            room -= self._read_segment(name, offsets.get(name, 0), name in closed, room, batch)
        self._take_calls(batch)
        # Across the segments the moment says which was first: the processes of one machine have one clock.
        batch.owned.sort(key=_created)
        yield_gil()
        self._keep_damaged(batch.damaged, offsets)
        return batch

    def _read_segment(self, name: str, offset: int, closed: bool, room: int, batch: Batch) -> int:
        start, count, ended = offset, 0, False
        path = self._directory / name
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            while count < room and not ended:
                chunk = os.pread(file.fileno(), _CHUNK, offset)
                lines, used = _lines(chunk, room - count)
                for at in range(0, len(lines), _BREATH_LINES):
                    self._take_lines(name, lines[at : at + _BREATH_LINES], batch)
                    yield_gil()
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

    def _take_lines(self, name: str, lines: list[bytes], batch: Batch) -> None:
        finals = [line for line in lines if line.startswith(_FINAL)]
        calls = [line for line in lines if line.startswith(_OPEN)]
        try:
            records = list(map(self._decode_final, finals))
        except _NO_RECORD:
            # One of them is damaged: which one shows line by line.
            for line in finals:
                self._take(name, line, batch)
        else:
            for record in records:
                batch.finals.setdefault(record.id, record)
            batch.settled.update([line[_FINAL_ID] for line in finals])
        # Whether these are to be decoded shows when the batch is read.
        batch.calls.setdefault(name, []).extend(calls)
        if len(finals) + len(calls) < len(lines):
            for line in lines:
                if line and not line.isspace() and not line.startswith((_FINAL, _OPEN)):
                    self._take(name, line, batch)

    def _take(self, name: str, line: bytes, batch: Batch) -> None:
        try:
            record = self._decode(line)
        except _NO_RECORD:
            batch.damaged.setdefault(name, []).append(line)
            return
        if isinstance(record, Opened):
            known = batch.opens.get(record.id)
            if record.id not in batch.finals and (known is None or known[1].attempt <= record.attempt):
                batch.opens[record.id] = (segments.owner_of(name), record)
        elif isinstance(record, Owned):
            batch.owned.append(record)
        else:
            batch.finals.setdefault(record.id, record)

    def _take_calls(self, batch: Batch) -> None:
        """Decode the calls of those requests that are not settled in this batch."""
        calls, batch.calls = batch.calls, {}
        settled = batch.settled
        for name, lines in calls.items():
            for line in [line for line in lines if line[_OPEN_ID] not in settled]:
                self._take(name, line, batch)
        for id_settled in batch.opens.keys() & batch.finals.keys():
            del batch.opens[id_settled]

    def _keep_damaged(self, damaged: Mapping[str, list[bytes]], offsets: Mapping[str, int]) -> None:
        """Put damaged lines aside, in a file named for the batch: one that has to be read again writes it again."""
        for name, lines in damaged.items():
            folder = self._directory / "damaged"
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / f"{name}.{offsets.get(name, 0)}"
            told = path.exists()
            # They hold what bills hold.
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(b"\n".join(lines) + b"\n")
            if not told:
                _log.warning("%d damaged journal lines were put aside in %s", len(lines), path)


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


def _created(record: Owned) -> int:
    return record.created


def _lines(chunk: bytes, most: int) -> tuple[list[bytes], int]:
    """Whole lines at the start of a chunk, at most so many, and the bytes they take."""
    lines = chunk.split(b"\n", most)
    rest = lines.pop()
    used = len(chunk) - len(rest)
    if not lines and len(chunk) == _CHUNK:
        # No line is that long: it goes aside piece by piece, and reading goes on behind it.
        return [chunk], len(chunk)
    return lines, used
