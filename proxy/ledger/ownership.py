"""Whose an object at an upstream is: told to the journal when it is made, remembered for a while, else looked up.

An upstream's account is shared by all keys, so an id that is not found here is served to nobody; and some upstreams let
clients choose ids, so an id belongs to the first key that made it, whatever a later answer says. Nothing is asked of an
upstream here, and no error is made: whoever asks decides what an unknown id means.
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
from proxy.ledger.record import Owned

#: Objects remembered; those before them are in the database by then.
REMEMBERED = 50_000
#: Seconds that the database may take to have what other processes have written to their journals.
MAX_BEHIND_SECONDS = 5.0
# Seconds between two looks at that.
_LOOK_SECONDS = 0.02
# An owner stored so long ago is the first one: what another process wrote before has been stored since.
_SETTLED_MICROSECONDS = 60_000_000
# After so many ids the event loop has its turn.
_TURN = 1_000
_COLUMNS = "id, kind, key, upstream, created, alias, model"
_AMONG = "(SELECT value FROM json_each(?))"
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
        #: Remembered ids that the database, or the journal of another process, may know as another key's.
        self._claims: set[str] = set()
        #: By key and kind, remembered ids that the database has not been seen to have as they are remembered.
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

    def record(self, owned: Owned) -> bool:
        """Tell the journal whose an object is, or its alias now; False when another key is known to own it.

        Never waits: an id that is not remembered is only claimed by this, and `find` looks whether it was another key's
        before. Where the journal cannot be written it keeps the record for later and refuses new work by itself.
        """
        known = self._recent.get(owned.id)
        if known is None:
            self._claims.add(owned.id)
        elif not known.gone:
            if known.key != owned.key:
                return False
            if (known.alias, known.model) == (owned.alias, owned.model) or not owned.alias:
                return True
            # It was made when it was first recorded.
            owned = msgspec.structs.replace(owned, created=known.created)
        self._tell(owned)
        return True

    async def adopt(self, owned: Owned) -> bool:
        """The same for an id that may be known already, in the database too. Raises StoreFailed."""
        known = await self.find(owned.id)
        return known.key == owned.key if known is not None else self.record(owned)

    def forget(self, owned: Owned) -> None:
        """The object was deleted."""
        self._claims.discard(owned.id)
        self._tell(msgspec.structs.replace(owned, gone=True, created=time.time_ns() // 1000))

    async def find(self, id_: str) -> Owned | None:
        """The record of an object, whoever owns it, or None. Raises StoreFailed."""
        while True:
            known = self._recent.get(id_)
            if known is not None and id_ in self._claims:
                await self._confirm(known.key, [id_])
            elif known is not None:
                self._recent.move_to_end(id_)
                return None if known.gone else known
            else:
                found = await self._stored(id_)
                # While the database was asked the object may have been made, or deleted.
                if id_ not in self._recent:
                    return self._remember(found) if found is not None else None

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
        ids = list(ids)
        await self._confirm(key, [id_ for id_ in ids if id_ in self._claims and self._recent[id_].key == key])
        query = f"SELECT {_COLUMNS} FROM objects WHERE id IN {_AMONG} AND key = ?"
        found = {one.id: one for one in await self._query(query, _json(ids), key)}
        for id_ in ids:
            recent = self._recent.get(id_)
            if recent is not None and recent.gone:
                found.pop(id_, None)
            elif recent is not None and recent.key == key:
                found[id_] = recent
        return found

    async def count(self, key: str, *kinds: str) -> int:
        """How many objects of some kinds this key owns. Raises StoreFailed.

        Beside the database only what is not known to be stored is looked at, of this key and these kinds alone.
        """
        assert self._reader is not None
        ids = [id_ for kind in kinds for id_ in self._unstored.get((key, kind), ())]
        await self._confirm(key, [id_ for id_ in ids if id_ in self._claims])
        query = (
            f"SELECT (SELECT count(*) FROM objects WHERE key = ? AND kind IN {_AMONG}), "
            f"(SELECT json_group_array(id) FROM objects WHERE id IN {_AMONG} AND key = ? AND kind IN {_AMONG})"
        )
        with sqlite.mapped(self._path):
            values = (key, _json(kinds), _json(ids), key, _json(kinds))
            rows = list(await self._reader.execute_fetchall(query, values))
        count, stored = int(rows[0][0]), set(msgspec.json.decode(rows[0][1], type=list[str]))
        for number, id_ in enumerate(ids):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            recent = self._recent.get(id_)
            if recent is None or recent.key != key or recent.kind not in kinds:
                continue
            if recent.gone == (id_ in stored):
                # The database does not have it yet, or still.
                count += -1 if recent.gone else 1
            else:
                self._drop(recent)
        return count

    async def _confirm(self, key: str, ids: list[str]) -> None:
        """Give up those of a key's claims to ids that were another key's before; the others are its own from now on.

        Raises StoreFailed.
        """
        if not ids:
            return
        await self._others_stored()
        query = f"SELECT {_COLUMNS} FROM objects WHERE id IN {_AMONG} AND key <> ?"
        others = {one.id: one for one in await self._query(query, _json(ids), key)}
        for number, id_ in enumerate(ids):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            claim, other = self._recent.get(id_), others.get(id_)
            if claim is None or claim.key != key or id_ not in self._claims:
                continue
            self._claims.discard(id_)
            if other is not None and other.created <= claim.created:
                self._drop(claim)
                self._remember(other)

    async def _stored(self, id_: str) -> Owned | None:
        """The owner in the database, and surely the first one. Raises StoreFailed."""
        query = f"SELECT {_COLUMNS} FROM objects WHERE id = ?"
        found = await self._query(query, id_)
        if found and time.time_ns() // 1000 - found[0].created < _SETTLED_MICROSECONDS:
            await self._others_stored()
            found = await self._query(query, id_)
        return found[0] if found else None

    async def _others_stored(self) -> None:
        """Wait until the database has all that other processes have written to their journals. Raises StoreFailed."""
        directory = self._journal.directory
        with sqlite.mapped(directory):
            sizes = segments.sizes(directory, but=self._journal.owner)
        deadline = time.monotonic() + MAX_BEHIND_SECONDS
        while sizes:
            offsets = await self._offsets(sizes)
            sizes = {
                name: size
                for name, size in sizes.items()
                if offsets.get(name, 0) < size and (directory / name).exists()
            }
            if not sizes:
                return
            if time.monotonic() > deadline:
                raise StoreFailed("the database does not have what other workers wrote; it is behind their journals")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _offsets(self, names: Iterable[str]) -> dict[str, int]:
        assert self._reader is not None
        query = f"SELECT name, offset FROM segments WHERE name IN {_AMONG}"
        with sqlite.mapped(self._path):
            rows = await self._reader.execute_fetchall(query, (_json(names),))
        return {str(name): int(offset) for name, offset in rows}

    async def _query(self, query: str, *values: str) -> list[Owned]:
        assert self._reader is not None
        with sqlite.mapped(self._path):
            rows = await self._reader.execute_fetchall(query, values)
        return [Owned(*row) for row in rows]

    def _tell(self, owned: Owned) -> None:
        """Remember what the database is to have, and tell it to the journal."""
        known = self._recent.get(owned.id)
        if known is not None:
            self._drop(known)
        self._unstored.setdefault((owned.key, owned.kind), set()).add(owned.id)
        self._remember(owned)
        self._append(owned)

    def _remember(self, owned: Owned) -> Owned:
        self._recent[owned.id] = owned
        self._recent.move_to_end(owned.id)
        if len(self._recent) > self._most:
            _, oldest = self._recent.popitem(last=False)
            self._claims.discard(oldest.id)
            self._drop(oldest)
        return owned

    def _drop(self, owned: Owned) -> None:
        """The record is no longer remembered."""
        ids = self._unstored.get((owned.key, owned.kind))
        if ids is not None:
            ids.discard(owned.id)
            if not ids:
                del self._unstored[owned.key, owned.kind]

    def _append(self, owned: Owned) -> None:
        try:
            self._journal.append(owned)
        except StoreFailed as error:
            # The journal keeps what it could not write, and refuses new work by itself.
            _log.warning("whose %s is waits for the journal: %s", owned.id, error.message)


def _json(values: Iterable[str]) -> str:
    return msgspec.json.encode(list(values)).decode()
