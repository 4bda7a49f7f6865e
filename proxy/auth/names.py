"""The names of keys, teams and organisations by their ids, and the tags of keys: what reports show. Reads only.

Revoked keys are among them, since their rows are: of two keys of one name the live one counts, else all of them.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from proxy.auth.keys import KeyStore
from proxy.ledger import sqlite

#: Where a database in rollback-journal mode counts the transactions that have changed it.
_CHANGES: Final = slice(24, 28)

#: What is another one after each change of a file: its inode, time and size, and the count of changes.
_Mark = tuple[int, int, int, bytes]


class Names(msgspec.Struct, frozen=True):
    """What `keys.db` calls the ids that rows have."""

    keys: Mapping[str, str] = {}
    #: Ids of keys that are not revoked.
    live: frozenset[str] = frozenset()
    #: Those of each key that has any.
    tags: Mapping[str, tuple[str, ...]] = {}
    teams: Mapping[str, str] = {}
    orgs: Mapping[str, str] = {}

    def key_ids(self, name_or_id: str) -> tuple[str, ...]:
        """Keys by name or id: the live one of the name, else the revoked ones; empty for none."""
        if name_or_id in self.keys:
            return (name_or_id,)
        named = [id_ for id_, name in self.keys.items() if name == name_or_id]
        return tuple([id_ for id_ in named if id_ in self.live] or named)

    def tagged(self, tag: str) -> tuple[str, ...]:
        """Ids of the keys that have a tag."""
        return tuple(id_ for id_, tags in self.tags.items() if tag in tags)


class CurrentNames:
    """The names of a data directory, which are read again when `keys.db` has changed: with thousands of keys, a reading
    takes as long as a page."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._found: tuple[_Mark | None, Names] = (None, Names())

    async def read(self) -> Names:
        """The names as they are now. Raises StoreFailed."""
        # Before the names: what changes meanwhile is read once more.
        mark = await asyncio.to_thread(_mark, self._data_dir / "keys.db")
        known, names = self._found
        if mark != known:
            names = await read_names(self._data_dir)
            self._found = mark, names
        return names


def _mark(path: Path) -> _Mark | None:
    """None where there is no file. Raises StoreFailed."""
    if not path.exists():
        return None
    with sqlite.mapped(path), path.open("rb", buffering=0) as file:
        state = os.fstat(file.fileno())
        return state.st_ino, state.st_mtime_ns, state.st_size, file.read(_CHANGES.stop)[_CHANGES]


async def read_names(data_dir: Path) -> Names:
    """Read them; empty where there is no `keys.db`. Raises StoreFailed."""
    path = data_dir / "keys.db"
    if not await asyncio.to_thread(path.exists):
        return Names()
    # An older database is migrated by that.
    async with KeyStore(data_dir):
        pass
    connection = await sqlite.open_reader(path)
    try:
        with sqlite.mapped(path):
            keys, teams, orgs = [
                list(await connection.execute_fetchall(query))
                for query in (
                    "SELECT id, name, revoked IS NULL, tags FROM keys",
                    "SELECT id, name FROM teams",
                    "SELECT id, name FROM orgs",
                )
            ]
    finally:
        await connection.close()
    decode = msgspec.json.Decoder(tuple[str, ...]).decode
    return Names(
        {id_: name for id_, name, _, _ in keys},
        frozenset(id_ for id_, _, is_live, _ in keys if is_live),
        {id_: found for id_, _, _, tags in keys if tags and (found := decode(tags))},
        {str(row[0]): str(row[1]) for row in teams},
        {str(row[0]): str(row[1]) for row in orgs},
    )
