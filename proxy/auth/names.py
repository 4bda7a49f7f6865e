"""The names of keys, teams and organisations by their ids, and the tags of keys: what reports show. Reads only.

Revoked keys are among them, since their rows are: of two keys of one name the live one counts, else all of them.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from proxy.auth.keys import KeyStore
from proxy.ledger import sqlite


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
