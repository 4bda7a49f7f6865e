"""SessionStore: the sessions, the sign-in links and the attempts to sign in of all workers, in `sessions.db`.

It stores digests of tokens and never a token, so that a copy of the file lets no one sign in. The file is of its own,
for it may be lost: all that is lost with it is that everyone signs in again.
"""

import asyncio
from pathlib import Path
from typing import Final, NamedTuple

from proxy.auth.database import Database

FILE_NAME: Final = "sessions.db"
#: Sessions of all, and of one key or of all admins; where there would be more, those end that were used last.
MAX_SESSIONS: Final = 10_000
MAX_SESSIONS_PER_KEY: Final = 100
#: Seconds over which attempts to sign in are counted, and how many may fail of one client address and of all.
ATTEMPT_SECONDS: Final = 60
MAX_ATTEMPTS_PER_CLIENT: Final = 10
MAX_ATTEMPTS: Final = 100


class Stored(NamedTuple):
    """A session as it is stored; times in seconds since 1970."""

    key: str | None
    credential: bytes
    actor: str
    begun: int
    seen: int
    ends: int


class SessionStore:
    """The database, opened at the first use. All methods raise `StoreFailed`."""

    def __init__(self, data_dir: Path) -> None:
        self._database = Database(data_dir / FILE_NAME, "sessions_")
        self._opening = asyncio.Lock()
        self._is_open = False

    async def close(self) -> None:
        """Close the database."""
        self._is_open = False
        await self._database.close()

    async def add(self, digest: bytes, session: Stored) -> None:
        """Store a session, and remove those that have ended or are too many."""
        await self._open()
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM sessions WHERE ends <= ?", (session.begun,))
            await connection.execute(
                "INSERT INTO sessions (digest, key, credential, actor, begun, seen, ends) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (digest, *session),
            )
            await connection.execute(
                "DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions WHERE key IS ? "
                "ORDER BY seen DESC, begun DESC, digest = ? DESC LIMIT -1 OFFSET ?)",
                (session.key, digest, MAX_SESSIONS_PER_KEY),
            )
            await connection.execute(
                "DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions "
                "ORDER BY seen DESC, begun DESC, digest = ? DESC LIMIT -1 OFFSET ?)",
                (digest, MAX_SESSIONS),
            )

    async def find(self, digest: bytes) -> Stored | None:
        """The session of a token's digest."""
        await self._open()
        query = "SELECT key, credential, actor, begun, seen, ends FROM sessions WHERE digest = ?"
        rows = await self._database.rows(query, (digest,))
        return Stored(*rows[0]) if rows else None

    async def touch(self, digest: bytes, now: int) -> None:
        """Keep that a session is used now."""
        await self._open()
        async with self._database.transaction() as connection:
            await connection.execute("UPDATE sessions SET seen = max(seen, ?) WHERE digest = ?", (now, digest))

    async def remove(self, digest: bytes) -> None:
        """End a session."""
        await self._open()
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM sessions WHERE digest = ?", (digest,))

    async def add_link(self, digest: bytes, now: int, ends: int) -> None:
        """Store a sign-in link, and remove those that are over."""
        await self._open()
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM links WHERE ends <= ?", (now,))
            await connection.execute("INSERT INTO links (digest, ends) VALUES (?, ?)", (digest, ends))

    async def take_link(self, digest: bytes, now: int) -> bool:
        """Use up a link: True once, over all workers, and never after its end."""
        await self._open()
        async with self._database.transaction() as connection:
            query = "DELETE FROM links WHERE digest = ? RETURNING ends"
            rows = list(await connection.execute_fetchall(query, (digest,)))
        return bool(rows) and now < rows[0][0]

    async def begin_attempt(self, client: str, now: int) -> int | None:
        """Count an attempt to sign in, until `forget_attempt`, if it succeeds; None where there are too many."""
        await self._open()
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM attempts WHERE at <= ?", (now - ATTEMPT_SECONDS,))
            query = "SELECT count(*), coalesce(sum(client = ?), 0) FROM attempts"
            ((of_all, of_client),) = await connection.execute_fetchall(query, (client,))
            if of_all >= MAX_ATTEMPTS or of_client >= MAX_ATTEMPTS_PER_CLIENT:
                return None
            added = await connection.execute("INSERT INTO attempts (client, at) VALUES (?, ?)", (client, now))
            return added.lastrowid

    async def forget_attempt(self, attempt: int) -> None:
        """Take back what `begin_attempt` counted: it was no guess."""
        await self._open()
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM attempts WHERE id = ?", (attempt,))

    async def _open(self) -> None:
        async with self._opening:
            if not self._is_open:
                await self._database.open()
                self._is_open = True
