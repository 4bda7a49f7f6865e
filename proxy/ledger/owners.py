"""Whose an object at an upstream is: told to the journal when it is made, remembered for a while, else looked up.

An upstream's account is shared by all keys, so an id that is not found here is served to nobody. Nothing is asked of an
upstream here, and no error is made: whoever asks decides what an unknown id means.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import aiosqlite
import msgspec

from proxy.errors import StoreFailed
from proxy.ledger import sqlite
from proxy.ledger.journal import Journal
from proxy.ledger.record import Owned

#: Objects remembered; those before them are in the database by then.
REMEMBERED = 50_000
_COLUMNS = "id, kind, key, upstream, created, alias, model"
_log = logging.getLogger(__name__)


class Owners:
    """See the module. `open` before use; the journal and the database are another's to close."""

    def __init__(self, journal: Journal, path: Path, *, patience: float = 0.0, remembered: int = REMEMBERED) -> None:
        """`patience` is how long to wait, in seconds, for what another process may have written to its journal."""
        self._journal = journal
        self._path = path
        self._patience = patience
        self._most = remembered
        self._recent: OrderedDict[str, Owned] = OrderedDict()
        self._reader: aiosqlite.Connection | None = None

    async def open(self) -> None:
        """Open the database, which must exist. Raises StoreFailed."""
        self._reader = await sqlite.open_reader(self._path)

    async def close(self) -> None:
        """Close it."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    def record(self, owned: Owned) -> bool:
        """Tell the journal whose an object is, or its alias now; False when another key is known to own it.

        Never waits. Where the journal cannot be written it keeps the record for later and refuses new work by itself.
        """
        known = self._recent.get(owned.id)
        if known is not None and not known.gone:
            if known.key != owned.key:
                return False
            if (known.alias, known.model) == (owned.alias, owned.model) or not owned.alias:
                return True
        self._remember(owned)
        self._append(owned)
        return True

    async def adopt(self, owned: Owned) -> bool:
        """The same for an id that may be known already, in the database too. Raises StoreFailed."""
        known = await self.find(owned.id)
        return known.key == owned.key if known is not None else self.record(owned)

    def forget(self, owned: Owned) -> None:
        """The object was deleted."""
        gone = msgspec.structs.replace(owned, gone=True)
        self._remember(gone)
        self._append(gone)

    async def find(self, id_: str) -> Owned | None:
        """The record of an object, whoever owns it, or None. Raises StoreFailed."""
        known = self._recent.get(id_)
        if known is not None:
            self._recent.move_to_end(id_)
            return None if known.gone else known
        found = await self._query(f"SELECT {_COLUMNS} FROM objects WHERE id = ?", id_)
        if not found:
            return None
        # While the database was asked the object may have been deleted.
        return self._remember(found[0]) if id_ not in self._recent else await self.find(id_)

    async def owned_by(self, key: str, id_: str) -> Owned | None:
        """The record of an object that this key owns, or None, after the same time whether another owns it or nobody.

        Raises StoreFailed.
        """
        found = await self.find(id_)
        if (found is None or found.key != key) and self._patience:
            await asyncio.sleep(self._patience)
            found = await self.find(id_)
        return found if found is not None and found.key == key else None

    async def among(self, key: str, ids: Iterable[str]) -> dict[str, Owned]:
        """Those of some ids that this key owns. Raises StoreFailed."""
        wanted = msgspec.json.encode(list(ids)).decode()
        query = f"SELECT {_COLUMNS} FROM objects WHERE id IN (SELECT value FROM json_each(?)) AND key = ?"
        found = {one.id: one for one in await self._query(query, wanted, key)}
        for id_ in msgspec.json.decode(wanted, type=list[str]):
            recent = self._recent.get(id_)
            if recent is not None and recent.gone:
                found.pop(id_, None)
            elif recent is not None and recent.key == key:
                found[id_] = recent
        return found

    async def count(self, key: str, kind: str) -> int:
        """How many objects of a kind this key owns. Raises StoreFailed."""
        assert self._reader is not None
        recent = {one.id: one.gone for one in self._recent.values() if one.key == key and one.kind == kind}
        query = "SELECT count(*) FROM objects WHERE key = ? AND kind = ? AND id NOT IN (SELECT value FROM json_each(?))"
        with sqlite.mapped(self._path):
            values = (key, kind, msgspec.json.encode(list(recent)).decode())
            rows = list(await self._reader.execute_fetchall(query, values))
        return int(rows[0][0]) + sum(not gone for gone in recent.values())

    async def _query(self, query: str, *values: str) -> list[Owned]:
        assert self._reader is not None
        with sqlite.mapped(self._path):
            rows = await self._reader.execute_fetchall(query, values)
        return [Owned(*row) for row in rows]

    def _remember(self, owned: Owned) -> Owned:
        self._recent[owned.id] = owned
        self._recent.move_to_end(owned.id)
        if len(self._recent) > self._most:
            self._recent.popitem(last=False)
        return owned

    def _append(self, owned: Owned) -> None:
        try:
            self._journal.append(owned)
        except StoreFailed as error:
            # The journal keeps what it could not write, and refuses new work by itself.
            _log.warning("whose %s is waits for the journal: %s", owned.id, error.message)
