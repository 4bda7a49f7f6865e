"""The memory of the metrics: one column for each worker, in anonymous memory that the workers of a gateway share.

Only a column's own worker writes it, so there is no lock; any worker reads all columns for a scrape. The supervisor
makes it before it forks: a worker that was killed loses nothing, and the one that replaces it goes on from its values.

Cells are 64-bit integers of two kinds. A *direct* cell is changed in place. A *staged* cell is changed in the worker's
own memory; `publish` copies all of them into the half of the column that is not read, and then makes that half the one
that is read. So a scrape sees either all or nothing of what belongs together, and so does the worker that counts on
after a kill: with the cells goes the position in the journal up to which they have counted.
"""

import mmap
import time
from array import array
from typing import Any, Final, NamedTuple

import msgspec

#: Cells of a column that are changed in place, and those that are published together.
MAX_DIRECT_CELLS: Final = 16_384
MAX_STAGED_CELLS: Final = 32_768
#: Cells at the end of either kind that only the series named `other` may use.
RESERVED_CELLS: Final = 1_024
#: Cells at the very end that no series has: what finds no place at all is counted there, and not shown.
SCRATCH_CELLS: Final = 64
#: Bytes for the names of a column's series.
MAX_NAMES_BYTES: Final = 1_048_576
#: Bytes for the values of a worker's gauges, as JSON.
MAX_GAUGES_BYTES: Final = 65_536
#: Seconds after which the gauges of a worker that writes none are those of a dead one.
MAX_GAUGES_AGE_SECONDS: Final = 10.0
#: Dead journals whose position a column keeps.
MAX_DEAD: Final = 8

_CELL: Final = 8
_OWNER_BYTES: Final = 64
#: An owner's name, the number of its segment and the offset in that.
_POSITION_CELLS: Final = _OWNER_BYTES // _CELL + 2
_HEADER_CELLS: Final = 16
# Cells of the header.
_NAMES_USED: Final = 0
_ACTIVE: Final = 1
_DEAD_COUNT: Final = 2
_GAUGES_ACTIVE: Final = 3
_GAUGES_LENGTH: Final = 4
_GAUGES_TIME: Final = 6
# Where the parts of a column begin, in bytes.
_DEAD_AT: Final = _HEADER_CELLS * _CELL
_DIRECT_AT: Final = _DEAD_AT + MAX_DEAD * _POSITION_CELLS * _CELL
_HALVES_AT: Final = _DIRECT_AT + MAX_DIRECT_CELLS * _CELL
_HALF_BYTES: Final = (_POSITION_CELLS + MAX_STAGED_CELLS) * _CELL
_NAMES_AT: Final = _HALVES_AT + 2 * _HALF_BYTES
_GAUGES_AT: Final = _NAMES_AT + MAX_NAMES_BYTES
_COLUMN_BYTES: Final = (_GAUGES_AT + 2 * MAX_GAUGES_BYTES + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
#: How often a half is read again that was written meanwhile.
_MAX_READS: Final = 8

Labels = tuple[str, ...]
#: (name, labels) -> value.
GaugeValues = dict[str, list[tuple[Labels, float]]]


class Series(NamedTuple):
    """Where one series of a family is: its first cell, and how many it has."""

    family: str
    labels: Labels
    staged: bool
    cell: int
    width: int


class Position(NamedTuple):
    """A place in a journal: its owner, the number of a segment, and the bytes of that."""

    owner: str
    number: int
    offset: int


_encode_series: Final = msgspec.json.Encoder().encode
_decode_series: Final = msgspec.json.Decoder(Series).decode
_decode_gauges: Final = msgspec.json.Decoder(GaugeValues).decode


class MetricsMemory:
    """The columns of all workers of one gateway; made before they are forked."""

    def __init__(self, workers: int = 1) -> None:
        # Pages that are never touched take no memory.
        self._memory = memoryview(mmap.mmap(-1, workers * _COLUMN_BYTES))
        self._workers = workers
        self.columns = self.views()

    def views(self) -> "tuple[Column, ...]":
        """The columns, with a state of reading of their own, for another thread."""
        return tuple(Column(self._memory[at * _COLUMN_BYTES :][:_COLUMN_BYTES]) for at in range(self._workers))

    def counted_until(self, owner: str) -> Position | None:
        """How far the journal of an owner has been counted; None for one that is not of this gateway."""
        for column in self.columns:
            # In this order: an owner is put among the dead before another takes its place.
            position = column.position()
            if position.owner == owner:
                return position
            for position in column.dead():
                if position.owner == owner:
                    return position
        return None


class Column:
    """The metrics of one worker; its methods that write are for that worker alone."""

    def __init__(self, memory: memoryview) -> None:
        self._header = memory[: _HEADER_CELLS * _CELL].cast("q")
        self._dead = memory[_DEAD_AT:_DIRECT_AT]
        self._names = memory[_NAMES_AT:_GAUGES_AT]
        self._gauges = memory[_GAUGES_AT:]
        #: Changed in place by the worker.
        self.direct: memoryview = memory[_DIRECT_AT:_HALVES_AT].cast("q")
        self._halves = tuple(memory[_HALVES_AT + at * _HALF_BYTES :][:_HALF_BYTES].cast("q") for at in (0, 1))
        #: Changed by the worker, and copied by `publish`; made by `adopt`.
        self.staged: array[int] = array("q")
        self._position: array[int] = array("q", bytes(_POSITION_CELLS * _CELL))
        #: Series that were read so far, and the bytes of their names.
        self._series: list[Series] = []
        self._names_read = 0
        self._used = [0, 0]

    # the worker's side

    def adopt(self) -> list[Series]:
        """Become the column's worker: go on from the values that are there. Returns the series that have a place."""
        self.staged = array("q", bytes(MAX_STAGED_CELLS * _CELL))
        half = self._halves[self._header[_ACTIVE]]
        memoryview(self.staged)[:] = half[_POSITION_CELLS:]
        self._position = array("q", half[:_POSITION_CELLS].tobytes())
        self._header[_GAUGES_LENGTH] = self._header[_GAUGES_LENGTH + 1] = 0
        return self.series()

    def allocate(self, family: str, labels: Labels, width: int, staged: bool, reserve: bool) -> Series | None:
        """A place for a new series; `reserve` says that it may use the cells kept for `other`. None if full."""
        self.series()
        kind = 1 if staged else 0
        cell = self._used[kind]
        most = (MAX_STAGED_CELLS if staged else MAX_DIRECT_CELLS) - SCRATCH_CELLS
        series = Series(family, labels, staged, cell, width)
        line = _encode_series(series) + b"\n"
        begin = self._header[_NAMES_USED]
        end = begin + len(line)
        kept = 0 if reserve else RESERVED_CELLS
        if cell + width > most - kept or end > MAX_NAMES_BYTES - kept * _CELL:
            return None
        self._names[begin:end] = line
        # Only now there is such a series: a kill before this leaves nothing of it.
        self._header[_NAMES_USED] = end
        self.series()
        return series

    def publish(self, number: int = 0, offset: int = 0) -> None:
        """Let the staged cells be read, together with how far the own journal has been counted by them."""
        self._position[-2], self._position[-1] = number, offset
        active = 1 - self._header[_ACTIVE]
        half, used = self._halves[active], self._used[1]
        half[:_POSITION_CELLS] = memoryview(self._position)
        half[_POSITION_CELLS : _POSITION_CELLS + used] = memoryview(self.staged)[:used]
        self._header[_ACTIVE] = active

    def begin_journal(self, owner: str) -> None:
        """Count on with a journal of this owner; that of the worker before is one of the dead from now on."""
        before = self.position()
        if before.owner:
            place = self._header[_DEAD_COUNT] % MAX_DEAD
            size = _POSITION_CELLS * _CELL
            self._dead[place * size : (place + 1) * size] = self._position.tobytes()
            self._header[_DEAD_COUNT] += 1
        self._position = array("q", owner.encode()[:_OWNER_BYTES].ljust(_OWNER_BYTES, b"\0"))
        self._position.extend((0, 0))
        self.publish()

    def write_gauges(self, values: GaugeValues) -> None:
        """Let the other workers see the gauges as they are now; more than there is room for are left out."""
        data = msgspec.json.encode(values)
        while len(data) > MAX_GAUGES_BYTES:
            values.pop(max(values, key=lambda name: len(values[name])))
            data = msgspec.json.encode(values)
        active = 1 - self._header[_GAUGES_ACTIVE]
        self._gauges[active * MAX_GAUGES_BYTES :][: len(data)] = data
        self._header[_GAUGES_LENGTH + active] = len(data)
        self._header[_GAUGES_ACTIVE] = active
        self._header[_GAUGES_TIME] = time.monotonic_ns()

    # any worker's side

    def series(self) -> list[Series]:
        """All series of the column, in the order in which they came."""
        end = self._header[_NAMES_USED]
        if end > self._names_read:
            for line in bytes(self._names[self._names_read : end]).splitlines():
                series = _decode_series(line)
                self._series.append(series)
                kind = 1 if series.staged else 0
                self._used[kind] = series.cell + series.width
            self._names_read = end
        return self._series

    def values(self) -> tuple[list[int], list[int]]:
        """The direct cells and the staged ones, as they are read now; call `series` before, not after."""
        for _ in range(_MAX_READS):
            active = self._header[_ACTIVE]
            staged = self._halves[active][_POSITION_CELLS : _POSITION_CELLS + self._used[1]].tolist()
            # It is written again only after the other one.
            if self._header[_ACTIVE] == active:
                break
        return self.direct[: self._used[0]].tolist(), staged

    def gauges(self, now: float) -> GaugeValues:
        """The gauges as the worker has written them last; none where that is long ago at `now` (monotonic seconds)."""
        if now - self._header[_GAUGES_TIME] / 1e9 > MAX_GAUGES_AGE_SECONDS:
            return {}
        active = self._header[_GAUGES_ACTIVE]
        data = self._gauges[active * MAX_GAUGES_BYTES :][: self._header[_GAUGES_LENGTH + active]]
        try:
            return _decode_gauges(data) if len(data) else {}
        except msgspec.MsgspecError:
            # Written again twice while it was read; the next scrape has them.
            return {}

    def position(self) -> Position:
        """How far the worker's journal has been counted."""
        return _position_in(self._halves[self._header[_ACTIVE]][:_POSITION_CELLS].tobytes())

    def dead(self) -> list[Position]:
        """The same of workers before this one."""
        size = _POSITION_CELLS * _CELL
        count = min(self._header[_DEAD_COUNT], MAX_DEAD)
        return [_position_in(bytes(self._dead[at * size : (at + 1) * size])) for at in range(count)]


def _position_in(data: bytes) -> Position:
    cells: Any = memoryview(data).cast("q")
    return Position(data[:_OWNER_BYTES].rstrip(b"\0").decode(), cells[-2], cells[-1])
