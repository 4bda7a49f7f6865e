"""Reads the journal: the records of all segments after the stored offsets, as one bounded batch.

Runs in a thread beside the event loop. It decodes and validates; `ingest` writes the database and removes segments.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from proxy.clock.gil import yield_gil
from proxy.ledger import segments
from proxy.ledger.record import AttemptRecord, OwnershipRecord, Record, UsageRecord

#: Maximum of records in one batch.
MAX_BATCH_RECORDS = 2_000
# Bytes read at once; a longer line is damaged.
_CHUNK_BYTES = 256 * 1024
# Lines after which the GIL is released.
_YIELD_LINES = 200
# How the lines of the two frequent records begin, as the journal writes them.
_FINAL = b'{"event":"final",'
_OPEN = b'{"event":"open","id":"'
# Where the request id is in either.
_OPEN_ID = slice(len(_OPEN), len(_OPEN) + len("req_") + 32)
_FINAL_ID = slice(len(_FINAL) + len('"id":"'), len(_FINAL) + len('"id":"') + len("req_") + 32)

# What decoding a damaged line raises.
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_log = logging.getLogger(__name__)


class JournalBatch(msgspec.Struct):
    """What one read of the journal found."""

    #: Settled requests by id.
    finals: dict[str, UsageRecord] = {}
    #: Attempts by request id, with the journal's owner, of requests not settled in this batch.
    opens: dict[str, tuple[str, AttemptRecord]] = {}
    #: Undecoded lines of attempts, by segment: few are ever decoded, because most are settled in the same batch.
    open_lines: dict[str, list[bytes]] = {}
    #: The ids of settled requests, as bytes.
    settled: set[bytes] = set()
    #: Creations and deletions of objects, in the order in which they were written.
    owned: list[OwnershipRecord] = []
    #: New offset of each segment from which something was read.
    offsets: dict[str, int] = {}
    #: Segments that are closed and read to their end, with their size.
    finished: dict[str, int] = {}
    #: Owners that are alive, or whose records are not all read.
    living: set[str] = msgspec.field(default_factory=set)
    #: All segments seen.
    names: set[str] = msgspec.field(default_factory=set)
    #: Whether there is more to read now.
    more: bool = False
    #: Lines that cannot be decoded, by segment.
    damaged: dict[str, list[bytes]] = {}


class JournalReader:
    """Reads the segments in one directory."""

    def __init__(self, directory: Path, *, batch: int = MAX_BATCH_RECORDS) -> None:
        self._directory = directory
        self._batch = batch
        self._decode = msgspec.json.Decoder(Record).decode
        self._decode_final = msgspec.json.Decoder(UsageRecord).decode

    def read(self, offsets: Mapping[str, int]) -> JournalBatch:
        """Read the next records after `offsets`; writes damaged lines to `damaged/`. Raises OSError."""
        batch = JournalBatch()
        names = segments.names(self._directory)
        # Before reading: nothing is appended to a segment that is closed then.
        closed = {name for name in names if segments.is_closed(self._directory / name)}
        # An owner opens its next segment before it closes the last: a new one means that the owner is alive.
        batch.names = {*names, *segments.names(self._directory)}
        batch.living = {segments.owner_of(name) for name in batch.names - closed}
        yield_gil()
        room = self._batch
        for name in names:
            room -= self._read_segment(name, offsets.get(name, 0), name in closed, room, batch)
        self._decode_open_lines(batch)
        # Across segments the time says which was first: all processes of a machine have the same clock.
        batch.owned.sort(key=_created)
        yield_gil()
        self._keep_damaged(batch.damaged, offsets)
        return batch

    def _read_segment(self, name: str, offset: int, closed: bool, room: int, batch: JournalBatch) -> int:
        start, count, ended = offset, 0, False
        path = self._directory / name
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            while count < room and not ended:
                chunk = os.pread(file.fileno(), _CHUNK_BYTES, offset)
                lines, used = _lines(chunk, room - count)
                for at in range(0, len(lines), _YIELD_LINES):
                    self._read_lines(name, lines[at : at + _YIELD_LINES], batch)
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

    def _read_lines(self, name: str, lines: list[bytes], batch: JournalBatch) -> None:
        finals = [line for line in lines if line.startswith(_FINAL)]
        opens = [line for line in lines if line.startswith(_OPEN)]
        try:
            records = list(map(self._decode_final, finals))
        except _DECODE_ERRORS:
            # At least one of them is damaged: decode line by line.
            for line in finals:
                self._read_line(name, line, batch)
        else:
            for record in records:
                batch.finals.setdefault(record.id, record)
            batch.settled.update([line[_FINAL_ID] for line in finals])
        # Which of these must be decoded is known at the end of the batch.
        batch.open_lines.setdefault(name, []).extend(opens)
        if len(finals) + len(opens) < len(lines):
            for line in lines:
                if line and not line.isspace() and not line.startswith((_FINAL, _OPEN)):
                    self._read_line(name, line, batch)

    def _read_line(self, name: str, line: bytes, batch: JournalBatch) -> None:
        try:
            record = self._decode(line)
        except _DECODE_ERRORS:
            batch.damaged.setdefault(name, []).append(line)
            return
        if isinstance(record, AttemptRecord):
            known = batch.opens.get(record.id)
            if record.id not in batch.finals and (known is None or known[1].attempt <= record.attempt):
                batch.opens[record.id] = (segments.owner_of(name), record)
        elif isinstance(record, OwnershipRecord):
            batch.owned.append(record)
        else:
            batch.finals.setdefault(record.id, record)

    def _decode_open_lines(self, batch: JournalBatch) -> None:
        """Decode the attempts of requests that are not settled in this batch."""
        open_lines, batch.open_lines = batch.open_lines, {}
        settled = batch.settled
        for name, lines in open_lines.items():
            for line in [line for line in lines if line[_OPEN_ID] not in settled]:
                self._read_line(name, line, batch)
        for id_ in batch.opens.keys() & batch.finals.keys():
            del batch.opens[id_]

    def _keep_damaged(self, damaged: Mapping[str, list[bytes]], offsets: Mapping[str, int]) -> None:
        """Write damaged lines to a file named after their batch: a batch that is read again overwrites it."""
        for name, lines in damaged.items():
            folder = self._directory / "damaged"
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / f"{name}.{offsets.get(name, 0)}"
            is_logged = path.exists()
            # They have the same private data as records.
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(b"\n".join(lines) + b"\n")
            if not is_logged:
                _log.warning("%d damaged journal lines were put aside in %s", len(lines), path)


def interrupted_record(opened: AttemptRecord) -> UsageRecord:
    """The record of a request whose process died before it was settled.

    What budgets had reserved for it is its cost, as an estimate; without budgets it is not known.
    """
    return UsageRecord(
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
        team=opened.team,
        org=opened.org,
        usage_source="none" if opened.reserved is None else "estimated",
        cost=opened.reserved,
    )


def _created(record: OwnershipRecord) -> int:
    return record.created


def _lines(chunk: bytes, limit: int) -> tuple[list[bytes], int]:
    """Whole lines at the start of a chunk, at most `limit`, and their length in bytes."""
    lines = chunk.split(b"\n", limit)
    rest = lines.pop()
    used = len(chunk) - len(rest)
    if not lines and len(chunk) == _CHUNK_BYTES:
        # No valid line is that long: it is damaged, and skipped chunk by chunk.
        return [chunk], len(chunk)
    return lines, used
