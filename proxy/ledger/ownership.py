"""Which key owns an object at an upstream: appended to the journal on creation, cached, and looked up in the database.

All keys share an upstream's account, so an object whose owner is not found must not be served; and some upstreams let
clients choose ids, so an id belongs to the first key that created it, whatever a later response says. No upstream is
called here, and an unknown id is no error: the caller decides what it means.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import aiosqlite
import msgspec

from proxy.errors import StoreFailed
from proxy.ledger import segments, sqlite
from proxy.ledger.journal import Journal
from proxy.ledger.record import OwnershipRecord
from proxy.ledger.reports import stored_offsets

#: Objects in the cache; older ones are in the database by then.
MAX_CACHED_OBJECTS = 50_000
#: Maximum of seconds by which the database may be behind the journals of other processes.
MAX_BEHIND_SECONDS = 5.0
# Seconds between two checks of that.
_POLL_SECONDS = 0.02
# An owner stored longer ago than this is the first one: records that other processes wrote before it are stored.
_SETTLED_MICROSECONDS = 60_000_000
# Ids after which the event loop runs other tasks.
_IDS_PER_TURN = 1_000
_COLUMNS = "id, kind, key, upstream, created, alias, model"
_log = logging.getLogger(__name__)


class Owners:
    """Records and looks up owners of objects. `open` before use; the journal is the caller's to close."""

    def __init__(
        self, journal: Journal, path: Path, *, lookup_wait: float = 0.0, max_cached: int = MAX_CACHED_OBJECTS
    ) -> None:
        """`lookup_wait` is how long to wait, in seconds, for what another process may have appended to its journal."""
        self._journal = journal
        self._path = path
        self._lookup_wait = lookup_wait
        self._max_cached = max_cached
        self._recent: OrderedDict[str, OwnershipRecord] = OrderedDict()
        #: Cached ids of which the database, or the journal of another process, may have another owner.
        self._claims: set[str] = set()
        #: By key and kind, cached ids that may not be stored as they are cached.
        self._unstored: dict[tuple[str, str], set[str]] = {}
        self._reader: aiosqlite.Connection | None = None

    async def open(self) -> None:
        """Open the database, which must exist. Raises StoreFailed."""
        self._reader = await sqlite.open_reader(self._path)

    async def close(self) -> None:
        """Close it."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    def record(self, owned: OwnershipRecord) -> bool:
        """Record the owner of an object, or its new alias; returns False when another key is known to own it.

        Never waits: an id that is not cached is only claimed, and `find` checks whether another key owned it before.
        A journal that cannot be written keeps the record for later and refuses new requests by itself.
        """
        known = self._recent.get(owned.id)
        if known is None:
            self._claims.add(owned.id)
        elif not known.gone:
            if known.key != owned.key:
                return False
            if (known.alias, known.model) == (owned.alias, owned.model) or not owned.alias:
                return True
            # It was created when it was first recorded.
            owned = msgspec.structs.replace(owned, created=known.created)
        self._write(owned)
        return True

    async def adopt(self, owned: OwnershipRecord) -> bool:
        """Record the owner of an object unless it has one, in the database or here; returns whether the key owns it.

        Raises StoreFailed.
        """
        known = await self.find(owned.id)
        return known.key == owned.key if known is not None else self.record(owned)

    def forget(self, owned: OwnershipRecord) -> None:
        """Record that the object was deleted."""
        self._claims.discard(owned.id)
        self._write(msgspec.structs.replace(owned, gone=True, created=time.time_ns() // 1000))

    async def find(self, id_: str) -> OwnershipRecord | None:
        """The record of an object of any owner, or None. Raises StoreFailed."""
        while True:
            known = self._recent.get(id_)
            if known is not None and id_ in self._claims:
                await self._confirm(known.key, [id_])
            elif known is not None:
                self._recent.move_to_end(id_)
                return None if known.gone else known
            else:
                found = await self._stored(id_)
                # During the query the object may have been created or deleted.
                if id_ not in self._recent:
                    return self._cache(found) if found is not None else None

    async def owned_by(self, key: str, id_: str) -> OwnershipRecord | None:
        """The record of an object that this key owns, or None: after the same time whether or not another key owns it.

        Raises StoreFailed.
        """
        found = await self.find(id_)
        if (found is None or found.key != key) and self._lookup_wait:
            await asyncio.sleep(self._lookup_wait)
            found = await self.find(id_)
        return found if found is not None and found.key == key else None

    async def among(self, key: str, ids: Iterable[str]) -> dict[str, OwnershipRecord]:
        """The records of those of `ids` that this key owns. Raises StoreFailed."""
        ids = list(ids)
        await self._confirm(key, [id_ for id_ in ids if id_ in self._claims and self._recent[id_].key == key])
        query = f"SELECT {_COLUMNS} FROM objects WHERE id IN {sqlite.IN_LIST} AND key = ?"
        found = {one.id: one for one in await self._query(query, sqlite.json_list(ids), key)}
        for id_ in ids:
            recent = self._recent.get(id_)
            if recent is not None and recent.gone:
                found.pop(id_, None)
            elif recent is not None and recent.key == key:
                found[id_] = recent
        return found

    async def count(self, key: str, *kinds: str) -> int:
        """The number of objects of some kinds that this key owns. Raises StoreFailed.

        To the count of the database it adds only what is not known to be stored, of this key and these kinds.
        """
        assert self._reader is not None
        ids = [id_ for kind in kinds for id_ in self._unstored.get((key, kind), ())]
        await self._confirm(key, [id_ for id_ in ids if id_ in self._claims])
        query = (
            f"SELECT (SELECT count(*) FROM objects WHERE key = ? AND kind IN {sqlite.IN_LIST}), "
            f"(SELECT json_group_array(id) FROM objects WHERE id IN {sqlite.IN_LIST} AND key = ? "
            f"AND kind IN {sqlite.IN_LIST})"
        )
        with sqlite.mapped(self._path):
            values = (key, sqlite.json_list(kinds), sqlite.json_list(ids), key, sqlite.json_list(kinds))
            rows = list(await self._reader.execute_fetchall(query, values))
        count, stored = int(rows[0][0]), set(msgspec.json.decode(rows[0][1], type=list[str]))
        for number, id_ in enumerate(ids):
            if number % _IDS_PER_TURN == _IDS_PER_TURN - 1:
                await asyncio.sleep(0)
            recent = self._recent.get(id_)
            if recent is None or recent.key != key or recent.kind not in kinds:
                continue
            if recent.gone == (id_ in stored):
                # The creation or the deletion is not stored yet.
                count += -1 if recent.gone else 1
            else:
                self._drop(recent)
        return count

    async def _confirm(self, key: str, ids: list[str]) -> None:
        """Drop a key's claims to ids that another key owned before; the other ids are its own from now on.

        Raises StoreFailed.
        """
        if not ids:
            return
        await self._others_stored()
        query = f"SELECT {_COLUMNS} FROM objects WHERE id IN {sqlite.IN_LIST} AND key <> ?"
        others = {one.id: one for one in await self._query(query, sqlite.json_list(ids), key)}
        for number, id_ in enumerate(ids):
            if number % _IDS_PER_TURN == _IDS_PER_TURN - 1:
                await asyncio.sleep(0)
            claim, other = self._recent.get(id_), others.get(id_)
            if claim is None or claim.key != key or id_ not in self._claims:
                continue
            self._claims.discard(id_)
            if other is not None and other.created <= claim.created:
                self._drop(claim)
                self._cache(other)

    async def _stored(self, id_: str) -> OwnershipRecord | None:
        """The record in the database, which is certain to be the first owner's. Raises StoreFailed."""
        query = f"SELECT {_COLUMNS} FROM objects WHERE id = ?"
        found = await self._query(query, id_)
        if found and time.time_ns() // 1000 - found[0].created < _SETTLED_MICROSECONDS:
            await self._others_stored()
            found = await self._query(query, id_)
        return found[0] if found else None

    async def _others_stored(self) -> None:
        """Wait until the database has everything that other processes have journaled. Raises StoreFailed."""
        directory = self._journal.directory
        with sqlite.mapped(directory):
            sizes = segments.sizes(directory, except_owner=self._journal.owner)
        assert self._reader is not None
        deadline = time.monotonic() + MAX_BEHIND_SECONDS
        while sizes:
            offsets = await stored_offsets(self._reader, self._path, sizes)
            sizes = {
                name: size
                for name, size in sizes.items()
                if offsets.get(name, 0) < size and (directory / name).exists()
            }
            if not sizes:
                return
            if time.monotonic() > deadline:
                raise StoreFailed("the database does not have what other workers wrote; it is behind their journals")
            await asyncio.sleep(_POLL_SECONDS)

    async def _query(self, query: str, *values: str) -> list[OwnershipRecord]:
        assert self._reader is not None
        with sqlite.mapped(self._path):
            rows = await self._reader.execute_fetchall(query, values)
        return [OwnershipRecord(*row) for row in rows]

    def _write(self, owned: OwnershipRecord) -> None:
        """Cache what will be stored, and append it to the journal."""
        known = self._recent.get(owned.id)
        if known is not None:
            self._drop(known)
        self._unstored.setdefault((owned.key, owned.kind), set()).add(owned.id)
        self._cache(owned)
        self._append(owned)

    def _cache(self, owned: OwnershipRecord) -> OwnershipRecord:
        self._recent[owned.id] = owned
        self._recent.move_to_end(owned.id)
        if len(self._recent) > self._max_cached:
            _, oldest = self._recent.popitem(last=False)
            self._claims.discard(oldest.id)
            self._drop(oldest)
        return owned

    def _drop(self, owned: OwnershipRecord) -> None:
        """Note that the record is stored, or no longer cached."""
        ids = self._unstored.get((owned.key, owned.kind))
        if ids is not None:
            ids.discard(owned.id)
            if not ids:
                del self._unstored[owned.key, owned.kind]

    def _append(self, owned: OwnershipRecord) -> None:
        try:
            self._journal.append(owned)
        except StoreFailed as error:
            # The journal keeps what it could not write, and refuses new requests by itself.
            _log.warning("the owner of %s waits for the journal: %s", owned.id, error.message)
