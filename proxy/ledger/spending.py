"""What was spent in a time: the sum of costs in the database and in the journal that it has not taken yet.

Both are read as of one moment, so that each bill counts once. A cost that is not known counts as what budgets had
reserved for it. Reads only, for a thread beside the event loop: nothing is stored, and no segment is removed.
"""

import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from proxy.errors import StoreFailed
from proxy.ledger import segments, sqlite
from proxy.ledger.rollups import DAY, HOUR, view_of

#: How often the segments may change while they are read.
_MAX_ATTEMPTS = 20
_MICROSECONDS = 1_000_000
_LINES = (b'{"event":"final",', b'{"event":"open",')
_ANY_MICROSECOND = 10**16
#: In `keys.db`.
_TABLES = MappingProxyType({"key": "keys", "team": "teams", "org": "orgs"})
_NONE = "''"


class Payers(msgspec.Struct, frozen=True):
    """Whose requests count: those of any of these keys, teams or organisations; of everyone where none is named."""

    #: Ids.
    keys: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    orgs: tuple[str, ...] = ()
    #: Aliases that count; all of them where none is named.
    models: tuple[str, ...] = ()

    def match(self, record: "_Settled | _Opened") -> bool:
        """Whether a request counts."""
        if self.models and record.alias not in self.models:
            return False
        if not (self.keys or self.teams or self.orgs):
            return True
        return record.key in self.keys or record.team in self.teams or record.org in self.orgs


class Spent(msgspec.Struct, frozen=True):
    """Nano-dollars of a time."""

    spent: int = 0
    #: What running requests have reserved, as their attempts say.
    reserved: int = 0


class _Settled(msgspec.Struct, frozen=True, tag="final", tag_field="event", gc=False):
    """What counts of a `UsageRecord`."""

    id: str
    started: int
    key: str
    alias: str
    cost: int | None = None
    reserved: int | None = None
    team: str = ""
    org: str = ""


class _Opened(msgspec.Struct, frozen=True, tag="open", tag_field="event", gc=False):
    """What counts of an `AttemptRecord`."""

    id: str
    started: int
    key: str
    alias: str
    attempt: int = 1
    reserved: int | None = None
    team: str = ""
    org: str = ""


class _Changed(Exception):
    """A segment was stored to its end and removed while the rest was read."""


class SpendingReader:
    """Sums what was spent, in the ledger of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "ledger.db"
        self._journal = data_dir / "journal"
        self._decode = msgspec.json.Decoder(_Settled | _Opened).decode

    def read(self, payers: Payers, start: int, end: int = _ANY_MICROSECOND) -> Spent:
        """What requests have cost that began from `start` to before `end`, in microseconds since 1970.

        Of requests that a process left which is no more, it is what was reserved for them. Raises StoreFailed.
        """
        for _ in range(_MAX_ATTEMPTS):
            try:
                return self._read(payers, start, end)
            except _Changed:
                continue
        raise StoreFailed(f"{self._journal}: its segments change faster than they are read")

    def _read(self, payers: Payers, start: int, end: int) -> Spent:
        with sqlite.mapped(self._path):
            names = segments.names(self._journal)
            closed = {name for name in names if self._is_closed(name)}
            names = sorted({*names, *segments.names(self._journal)})
            living = {segments.owner_of(name) for name in names if name not in closed}
            address = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=sqlite.BUSY_SECONDS)) as db:
                db.execute("PRAGMA query_only = ON")
                # Offsets and rows as of the same moment.
                db.execute("BEGIN")
                offsets = {str(name): int(offset) for name, offset in db.execute("SELECT name, offset FROM segments")}
                spent = _stored(db, payers, start, end)
                opened = db.execute("SELECT owner, record FROM opens").fetchall()
                db.execute("COMMIT")
            settled, begun = self._unstored(names, offsets)
        for owner, record in opened:
            one = self._decode(record)
            if isinstance(one, _Opened) and one.id not in settled:
                begun.setdefault(one.id, (owner, one))
        spent += sum(
            [_cost(one) for one in settled.values() if start <= one.started < end and payers.match(one)], start=0
        )
        reserved = 0
        for owner, one in begun.values():
            if one.reserved and start <= one.started < end and payers.match(one):
                if owner in living:
                    reserved += one.reserved
                else:
                    spent += one.reserved
        return Spent(spent, reserved)

    def _is_closed(self, name: str) -> bool:
        try:
            return segments.is_closed(self._journal / name)
        except FileNotFoundError as error:
            raise _Changed from error

    def _unstored(
        self, names: list[str], offsets: Mapping[str, int]
    ) -> tuple[dict[str, _Settled], dict[str, tuple[str, _Opened]]]:
        """What of the segments is not in the database: the settled requests by id, and with their owners the others."""
        settled: dict[str, _Settled] = {}
        begun: dict[str, tuple[str, _Opened]] = {}
        for name in names:
            try:
                with (self._journal / name).open("rb") as file:
                    file.seek(offsets.get(name, 0))
                    data = file.read()
            except FileNotFoundError as error:
                raise _Changed from error
            # What stands behind the last line break is being written.
            for line in data[: data.rfind(b"\n") + 1].splitlines():
                if not line.startswith(_LINES):
                    continue
                try:
                    one = self._decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    # Damaged: it will be put aside, and no row is made of it.
                    continue
                if isinstance(one, _Settled):
                    settled.setdefault(one.id, one)
                else:
                    begun[one.id] = (segments.owner_of(name), one)
        return settled, {id_: one for id_, one in begun.items() if id_ not in settled}


def ids_of(data_dir: Path, payers: Payers) -> Payers:
    """The same payers by their ids, where some are named by their names. Raises StoreFailed.

    A name that is not known now is kept: it may be an id of one that is gone.
    """
    found: dict[str, tuple[str, ...]] = {}
    for kind, names in (("key", payers.keys), ("team", payers.teams), ("org", payers.orgs)):
        found[kind] = tuple({*names, *_named(data_dir, kind, names)}) if names else ()
    return Payers(found["key"], found["team"], found["org"], payers.models)


def _named(data_dir: Path, kind: str, names: Iterable[str]) -> list[str]:
    path = data_dir / "keys.db"
    with sqlite.mapped(path):
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=sqlite.BUSY_SECONDS)) as db:
            query = f"SELECT id FROM {_TABLES[kind]} WHERE name IN {sqlite.IN_LIST}"
            return [str(row[0]) for row in db.execute(query, (sqlite.json_list(names),))]


def _cost(record: _Settled) -> int:
    return record.cost if record.cost is not None else record.reserved or 0


def _stored(db: sqlite3.Connection, payers: Payers, start: int, end: int) -> int:
    """The costs in the database: from rollups where these are by the right column, and from rows for the rest."""
    where, values = _condition(payers)
    if payers.teams or payers.orgs:
        return _of_rows(db, where, values, start, end)
    first, before = _nearest_hour(start)
    last, after = _nearest_hour(end)
    if first >= last:
        return _of_rows(db, where, values, start, end)
    # What the hours have too little at the ends, and what they have too much.
    spent = _of_rows(db, where, values, start, before) - _of_rows(db, where, values, before, start)
    spent += _of_rows(db, where, values, after, end) - _of_rows(db, where, values, end, after)
    first_day, last_day = -(-first // DAY) * DAY, last // DAY * DAY
    if first_day < last_day:
        spans: tuple[tuple[int, int, int], ...] = (
            (HOUR, first, first_day),
            (DAY, first_day, last_day),
            (HOUR, last_day, last),
        )
    else:
        spans = ((HOUR, first, last),)
    view = view_of((*("key",) * bool(payers.keys), *("alias",) * bool(payers.models)))
    for span in spans:
        query = (
            f"SELECT coalesce(sum(cost), 0) FROM rollups WHERE view = {view} AND grain = ? AND start >= ? "
            f"AND start < ?{where}"
        )
        spent += _one(db, query, (*span, *values))
    # The rollups have nothing of those whose cost is not known.
    query = (
        "SELECT coalesce(sum(reserved), 0) FROM requests WHERE reserved IS NOT NULL AND cost IS NULL "
        f"AND started >= ? AND started < ?{where}"
    )
    return spent + _one(db, query, (before, after, *values))


def _nearest_hour(moment: int) -> tuple[int, int]:
    """The hour, in seconds and in microseconds, from which the fewest rows have to be read to get to a moment."""
    hour = moment // (HOUR * _MICROSECONDS) * HOUR
    # Of an hour that has not ended there are no rows behind now.
    is_current = hour + HOUR > time.time()
    if moment % (HOUR * _MICROSECONDS) and (is_current or moment - hour * _MICROSECONDS > HOUR * _MICROSECONDS // 2):
        hour += HOUR
    return hour, hour * _MICROSECONDS


def _of_rows(db: sqlite3.Connection, where: str, values: tuple[str, ...], start: int, end: int) -> int:
    if start >= end:
        return 0
    query = f"SELECT coalesce(sum(coalesce(cost, reserved)), 0) FROM requests WHERE started >= ? AND started < ?{where}"
    return _one(db, query, (start, end, *values))


def _one(db: sqlite3.Connection, query: str, values: tuple[Any, ...]) -> int:
    return int(db.execute(query, values).fetchone()[0])


def _condition(payers: Payers) -> tuple[str, tuple[str, ...]]:
    """SQL for whose requests count, and its parameters."""
    columns: tuple[tuple[Literal["key", "team", "org"], tuple[str, ...]], ...] = (
        ("key", payers.keys),
        ("team", payers.teams),
        ("org", payers.orgs),
    )
    named = [(column, ids) for column, ids in columns if ids]
    text, values = "", [sqlite.json_list(ids) for _, ids in named]
    if named:
        # The first half of each is what the index of the column is made for.
        text = (
            f" AND ({' OR '.join([f'({column} <> {_NONE} AND {column} IN {sqlite.IN_LIST})' for column, _ in named])})"
        )
    if payers.models:
        text += f" AND alias IN {sqlite.IN_LIST}"
        values.append(sqlite.json_list(payers.models))
    return text, tuple(values)
