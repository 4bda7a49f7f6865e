"""The database's side of the writer: what a batch of the journal becomes in `ledger.db`, in one transaction.

Plain SQLite, for the writer's own thread. It reads no journal, takes no lock file, and decides nothing about when.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import msgspec
from msgspec.structs import astuple

from proxy.clock.gil import yield_gil
from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import rollups, sqlite
from proxy.ledger.journal_reader import Batch, interrupted
from proxy.ledger.record import Final, Opened, Owned

_ALL_FIELDS = Final.__struct_fields__
_COMMON = _ALL_FIELDS.index("error_code") + 1
# The fields that every request has. Those behind them few have: where they are as the table makes them, they are left
# out, for each value that is bound has its price.
_FIELDS = _ALL_FIELDS[:_COMMON]
_RARE_DEFAULTS = Final.__struct_defaults__[-len(_ALL_FIELDS[_COMMON:]) :]
_ROW = f"({', '.join(['nullif(?, 0)' if name == 'error_code' else '?' for name in _FIELDS])})"
_INTO = f"INSERT INTO requests ({', '.join(_FIELDS)}) VALUES "
_INSERT = f"{_INTO}{_ROW} ON CONFLICT (id) DO NOTHING"
_INSERT_ALL = (
    f"INSERT INTO requests ({', '.join(_ALL_FIELDS)}) VALUES ({', '.join('?' * len(_ALL_FIELDS))}) "
    "ON CONFLICT (id) DO NOTHING"
)
#: So many rows at once cost a quarter less than one by one, and their thread lets go of the interpreter once for all.
TOGETHER = 100
_INSERT_TOGETHER = f"{_INTO}{', '.join([_ROW] * TOGETHER)} ON CONFLICT (id) DO NOTHING"
# The columns whose values SQLite's binding is slow to take: it looks for a way to adapt all but numbers and text.
_STREAM, _ERROR_CODE = _FIELDS.index("stream"), _FIELDS.index("error_code")
_OPEN = (
    "INSERT INTO opens (id, owner, attempt, record) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "owner = excluded.owner, attempt = excluded.attempt, record = excluded.record WHERE excluded.attempt >= attempt"
)
_OFFSET = "INSERT INTO segments (name, offset) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET offset = excluded.offset"
_OWN = (
    "INSERT INTO objects (id, kind, key, upstream, created, alias, model) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET alias = excluded.alias, model = excluded.model WHERE key = excluded.key"
)
# Of two keys that made the same id the first one counts, also where the journal of the other was read before.
_YIELD = "DELETE FROM objects WHERE id = ? AND key <> ? AND created > ?"
_DISOWN = "DELETE FROM objects WHERE id = ? AND key = ?"
_AMONG = "(SELECT value FROM json_each(?))"


_log = logging.getLogger(__name__)


class Storage:
    """The open database of the one writer. Methods raise StoreFailed, after which nothing of theirs is stored."""

    def __init__(self, path: Path, durability: Durability) -> None:
        """Open and migrate. The caller holds the writer's lock. Raises StoreFailed."""
        self._path = path
        self._encode = msgspec.json.Encoder().encode
        self._connection = connection = sqlite.open_writer(path, durability)
        try:
            sqlite.migrate(connection, path, sqlite.migrations())
            with sqlite.mapped(path):
                connection.create_function("merge_histograms", 2, rollups.merge_packed, deterministic=True)
                offsets = connection.execute("SELECT name, offset FROM segments").fetchall()
                opens = connection.execute("SELECT id, owner FROM opens").fetchall()
                self._identity = _identity(path)
        except BaseException:
            connection.close()
            raise
        #: Read positions, and whose entries are in `opens` and which: as the database has them.
        self.offsets = {str(name): int(offset) for name, offset in offsets}
        self._open_owners = {str(owner) for _, owner in opens}
        self._open_ids = {str(id_) for id_, _ in opens}

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def store(self, batch: Batch) -> None:
        """Everything of a batch in one transaction."""
        # Segments that are gone were stored; a crash between their end and this is why they may still be listed here.
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
                    connection.executemany(_OPEN, opens)
                if settled:
                    connection.execute(f"DELETE FROM opens WHERE id IN {_AMONG}", (self._json(settled),))
                _own(connection, batch.owned)
                connection.executemany(_OFFSET, batch.offsets.items())
                if gone:
                    connection.execute(f"DELETE FROM segments WHERE name IN {_AMONG}", (self._json(gone),))
                yield_gil()
        yield_gil()
        self._open_owners.update(owner for owner, _ in batch.opens.values())
        self._open_ids.difference_update(settled)
        self._open_ids.update(batch.opens)
        self.offsets.update(batch.offsets)
        for name in gone:
            del self.offsets[name]

    def settle_dead(self, living: set[str], most: int) -> bool:
        """Turn what dead owners left open into rows, `most` at a time; returns whether that is done for all."""
        for owner in sorted(self._open_owners - living):
            connection = self._connection
            with sqlite.mapped(self._path), sqlite.transaction(connection):
                query = "SELECT record FROM opens WHERE owner = ? LIMIT ?"
                found = connection.execute(query, (owner, most)).fetchall()
                finals = [interrupted(msgspec.json.decode(record, type=Opened)) for (record,) in found]
                self._insert(finals)
                ids = [final.id for final in finals]
                connection.execute(f"DELETE FROM opens WHERE id IN {_AMONG}", (self._json(ids),))
            self._open_ids.difference_update(ids)
            if finals:
                _log.warning("%d requests of a process that ended were not settled: interrupted", len(finals))
            if len(found) == most:
                return False
            self._open_owners.discard(owner)
        return True

    def _insert(self, finals: list[Final]) -> None:
        """Insert rows, and add those that are new to the rollups. Nothing else of the transaction may come before."""
        if not finals:
            return
        connection = self._connection
        before = connection.total_changes
        rows = _insert_rows(connection, finals)
        if connection.total_changes - before < len(finals):
            # Some were stored before, by a replay. It is rare, so only now it is asked which.
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            query = f"SELECT id FROM requests WHERE id IN {_AMONG}"
            ids = self._json([final.id for final in finals])
            known = {id_ for (id_,) in connection.execute(query, (ids,))}
            finals = [final for final in finals if final.id not in known]
            rows = _insert_rows(connection, finals)
        connection.executemany(rollups.UPSERT, rollups.summarise(rows, yield_gil))

    def _check_identity(self) -> None:
        """Rows in a file that has no name any more would be lost."""
        if not self._path.exists() or _identity(self._path) != self._identity:
            raise StoreFailed(
                f"{self._path} was removed or replaced while the gateway runs; put it back, or restart the gateway. "
                "The journal keeps what comes"
            )

    def _json(self, names: Iterable[str]) -> str:
        return self._encode(list(names)).decode()


def _own(connection: sqlite3.Connection, records: list[Owned]) -> None:
    """Owners and deletions, one after the other: an id that was deleted may be made again."""
    for one in records:
        if one.gone:
            connection.execute(_DISOWN, (one.id, one.key))
        else:
            connection.execute(_YIELD, (one.id, one.key, one.created))
            row = (one.id, one.kind, one.key, one.upstream, one.created, one.alias, one.model)
            connection.execute(_OWN, row)


def _insert_rows(connection: sqlite3.Connection, finals: list[Final]) -> list[rollups.Row]:
    """The rows of some finals, which are in the table then."""
    rows: list[rollups.Row] = []
    width = len(_FIELDS)
    for at in range(0, len(finals), TOGETHER):
        whole = list(map(astuple, finals[at : at + TOGETHER]))
        rows += whole
        piece = [row[:_COMMON] for row in whole if row[_COMMON:] == _RARE_DEFAULTS]
        values = list(chain.from_iterable(piece))
        values[_STREAM::width] = map(int, values[_STREAM::width])
        values[_ERROR_CODE::width] = [0 if code is None else code for code in values[_ERROR_CODE::width]]
        if len(piece) == TOGETHER:
            connection.execute(_INSERT_TOGETHER, values)
        else:
            connection.executemany(_INSERT, zip(*[iter(values)] * width, strict=True))
            connection.executemany(_INSERT_ALL, [row for row in whole if row[_COMMON:] != _RARE_DEFAULTS])
        yield_gil()
    return rows


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
