"""Writes a batch of the journal to `ledger.db` in one transaction: rows, rollups, owners and read positions.

Plain SQLite, for the thread of `ingest`. It reads no journal, takes no lock file, and schedules nothing.
"""

import logging
import os
import sqlite3
from itertools import chain
from pathlib import Path

import msgspec
from msgspec.structs import astuple

from proxy.clock.gil import yield_gil
from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import rollups, sqlite
from proxy.ledger.journal_reader import JournalBatch, interrupted_record
from proxy.ledger.record import AttemptRecord, OwnershipRecord, UsageRecord

_ALL_FIELDS = UsageRecord.__struct_fields__
_COMMON = _ALL_FIELDS.index("error_code") + 1
# The fields that every request has. The ones after them are rare: where they have the table's defaults they are not
# inserted, because binding each value costs time.
_FIELDS = _ALL_FIELDS[:_COMMON]
_RARE_DEFAULTS = UsageRecord.__struct_defaults__[-len(_ALL_FIELDS[_COMMON:]) :]
#: Rows of one INSERT: a quarter less time than one by one, and the thread releases the GIL once for all of them.
ROWS_PER_INSERT = 100
# Columns of bool and None: binding those is slow, because sqlite3 searches for an adapter of all but numbers and text.
_STREAM, _ERROR_CODE = _FIELDS.index("stream"), _FIELDS.index("error_code")
_ROW = f"({', '.join(['nullif(?, 0)' if name == 'error_code' else '?' for name in _FIELDS])})"
_WHOLE_ROW = f"({', '.join(['nullif(?, 0)' if name == 'error_code' else '?' for name in _ALL_FIELDS])})"
_INTO = f"INSERT INTO requests ({', '.join(_FIELDS)}) VALUES "
_WHOLE_INTO = f"INSERT INTO requests ({', '.join(_ALL_FIELDS)}) VALUES "
_ONCE = " ON CONFLICT (id) DO NOTHING"
#: The statement for one row, and for `ROWS_PER_INSERT`; of the fields that all have, and of all fields.
_INSERT_PLAIN = (f"{_INTO}{_ROW}{_ONCE}", f"{_INTO}{', '.join([_ROW] * ROWS_PER_INSERT)}{_ONCE}")
_INSERT_WHOLE = (
    f"{_WHOLE_INTO}{_WHOLE_ROW}{_ONCE}",
    f"{_WHOLE_INTO}{', '.join([_WHOLE_ROW] * ROWS_PER_INSERT)}{_ONCE}",
)
_UPSERT_OPEN = (
    "INSERT INTO opens (id, owner, attempt, record) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "owner = excluded.owner, attempt = excluded.attempt, record = excluded.record WHERE excluded.attempt >= attempt"
)
_UPSERT_OFFSET = (
    "INSERT INTO segments (name, offset) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET offset = excluded.offset"
)
_INSERT_OWNED = (
    "INSERT INTO objects (id, kind, key, upstream, created, alias, model) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET alias = excluded.alias, model = excluded.model WHERE key = excluded.key"
)
# Of two keys that created the same id the first one owns it, even where the journal of the other was read before.
_DELETE_LATER_OWNER = "DELETE FROM objects WHERE id = ? AND key <> ? AND created > ?"
_DELETE_OWNED = "DELETE FROM objects WHERE id = ? AND key = ?"

_log = logging.getLogger(__name__)


class SQLiteWriter:
    """The write side of the database. Methods raise StoreFailed, and then have stored nothing."""

    def __init__(self, path: Path, durability: Durability) -> None:
        """Open and migrate the database. The caller holds the writer's lock. Raises StoreFailed."""
        self._path = path
        self._encode = msgspec.json.Encoder().encode
        self._connection = connection = sqlite.open_writer(path, durability)
        try:
            sqlite.migrate(connection, path, sqlite.migrations())
            with sqlite.mapped(path):
                offsets = connection.execute("SELECT name, offset FROM segments").fetchall()
                opens = connection.execute("SELECT id, owner FROM opens").fetchall()
                self._identity = _identity(path)
        except BaseException:
            connection.close()
            raise
        #: What the database has: read positions by segment, and the owners and request ids in `opens`.
        self.offsets = {str(name): int(offset) for name, offset in offsets}
        self._open_owners = {str(owner) for _, owner in opens}
        self._open_ids = {str(id_) for id_, _ in opens}
        self._interrupted: list[tuple[str, UsageRecord]] = []

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def store(self, batch: JournalBatch) -> None:
        """Write a whole batch in one transaction."""
        # Segments that are gone were stored: their offsets are left over from a tick that removed them.
        gone = [name for name in self.offsets if name not in batch.names]
        if not batch.offsets and not gone:
            return
        opens = [(id_, owner, record.attempt, self._encode(record)) for id_, (owner, record) in batch.opens.items()]
        finals = list(batch.finals.values())
        settled = self._open_ids.intersection(batch.finals)
        connection = self._connection
        with sqlite.mapped(self._path):
            self._check_identity()
            with sqlite.transaction(connection):
                self._insert(finals)
                if opens:
                    connection.executemany(_UPSERT_OPEN, opens)
                if settled:
                    connection.execute(f"DELETE FROM opens WHERE id IN {sqlite.IN_LIST}", (sqlite.json_list(settled),))
                _store_owned(connection, batch.owned)
                connection.executemany(_UPSERT_OFFSET, batch.offsets.items())
                if gone:
                    connection.execute(
                        f"DELETE FROM segments WHERE name IN {sqlite.IN_LIST}", (sqlite.json_list(gone),)
                    )
                yield_gil()
        yield_gil()
        self._open_owners.update(owner for owner, _ in batch.opens.values())
        self._open_ids.difference_update(settled)
        self._open_ids.update(batch.opens)
        self.offsets.update(batch.offsets)
        for name in gone:
            del self.offsets[name]

    def settle_dead(self, living: set[str], limit: int) -> bool:
        """Write rows for requests that dead owners left open, at most `limit`; returns whether none is left."""
        for owner in sorted(self._open_owners - living):
            connection = self._connection
            with sqlite.mapped(self._path), sqlite.transaction(connection):
                query = "SELECT record FROM opens WHERE owner = ? LIMIT ?"
                found = connection.execute(query, (owner, limit)).fetchall()
                finals = [interrupted_record(msgspec.json.decode(record, type=AttemptRecord)) for (record,) in found]
                self._insert(finals)
                ids = [final.id for final in finals]
                connection.execute(f"DELETE FROM opens WHERE id IN {sqlite.IN_LIST}", (sqlite.json_list(ids),))
            self._open_ids.difference_update(ids)
            self._interrupted += [(owner, final) for final in finals]
            if finals:
                _log.warning("%d requests of a process that ended were not settled: interrupted", len(finals))
            if len(found) == limit:
                return False
            self._open_owners.discard(owner)
        return True

    def take_interrupted(self) -> list[tuple[str, UsageRecord]]:
        """The rows of `settle_dead` since the last call, each with the owner of its journal."""
        taken, self._interrupted = self._interrupted, []
        return taken

    def _insert(self, finals: list[UsageRecord]) -> None:
        """Insert rows, and add the new ones to the rollups. It must be the first statement of its transaction."""
        if not finals:
            return
        connection = self._connection
        before = connection.total_changes
        rows = _insert_rows(connection, finals)
        if connection.total_changes - before < len(finals):
            # Some are stored already, from a replay: that is rare, so only now they are looked up.
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            query = f"SELECT id FROM requests WHERE id IN {sqlite.IN_LIST}"
            ids = sqlite.json_list([final.id for final in finals])
            known = {id_ for (id_,) in connection.execute(query, (ids,))}
            finals = [final for final in finals if final.id not in known]
            rows = _insert_rows(connection, finals)
        connection.executemany(rollups.UPSERT, rollups.summarise(rows, yield_gil))

    def _check_identity(self) -> None:
        """Raise StoreFailed if the path names another file: rows in a file without a name would be lost."""
        if not self._path.exists() or _identity(self._path) != self._identity:
            raise StoreFailed(
                f"{self._path} was removed or replaced while the gateway runs; put it back, or restart the gateway. "
                "The journal keeps what comes"
            )


def _store_owned(connection: sqlite3.Connection, records: list[OwnershipRecord]) -> None:
    """Apply creations and deletions in their order: an id that was deleted may be created again."""
    for one in records:
        if one.gone:
            connection.execute(_DELETE_OWNED, (one.id, one.key))
        else:
            connection.execute(_DELETE_LATER_OWNER, (one.id, one.key, one.created))
            row = (one.id, one.kind, one.key, one.upstream, one.created, one.alias, one.model)
            connection.execute(_INSERT_OWNED, row)


def _insert_rows(connection: sqlite3.Connection, finals: list[UsageRecord]) -> list[rollups.Row]:
    """Insert `finals`, unless stored already; returns them as rows."""
    rows: list[rollups.Row] = []
    rare: list[rollups.Row] = []
    for at in range(0, len(finals), ROWS_PER_INSERT):
        whole = list(map(astuple, finals[at : at + ROWS_PER_INSERT]))
        rows += whole
        plain = [row[:_COMMON] for row in whole if row[_COMMON:] == _RARE_DEFAULTS]
        if plain:
            _insert_piece(connection, plain)
        if len(plain) < len(whole):
            rare += [row for row in whole if row[_COMMON:] != _RARE_DEFAULTS]
            if len(rare) >= ROWS_PER_INSERT:
                _insert_piece(connection, rare[:ROWS_PER_INSERT])
                del rare[:ROWS_PER_INSERT]
        yield_gil()
    if rare:
        _insert_piece(connection, rare)
    return rows


def _insert_piece(connection: sqlite3.Connection, piece: list[rollups.Row]) -> None:
    """Insert at most `ROWS_PER_INSERT` rows of one length."""
    width = len(piece[0])
    one, many = _INSERT_PLAIN if width == _COMMON else _INSERT_WHOLE
    values = list(chain.from_iterable(piece))
    values[_STREAM::width] = map(int, values[_STREAM::width])
    values[_ERROR_CODE::width] = [0 if code is None else code for code in values[_ERROR_CODE::width]]
    if len(piece) == ROWS_PER_INSERT:
        connection.execute(many, values)
    else:
        connection.executemany(one, zip(*[iter(values)] * width, strict=True))


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
