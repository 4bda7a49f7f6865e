"""The store of sessions: how many there may be."""

import asyncio
from pathlib import Path

from proxy.pages.session_store import MAX_ATTEMPTS, MAX_SESSIONS_PER_KEY, SessionStore, Stored


def test_a_key_s_sessions_are_bounded_and_the_newest_stays(tmp_path: Path) -> None:
    async def check() -> None:
        store = SessionStore(tmp_path)
        for number in range(MAX_SESSIONS_PER_KEY + 1):
            await store.add(b"%d" % number, Stored("key_1", b"", "key:one", number, number, 10_000))
        await store.add(b"other", Stored("key_2", b"", "key:two", 0, 0, 10_000))
        assert await store.find(b"0") is None
        assert await store.find(b"%d" % MAX_SESSIONS_PER_KEY) is not None
        assert await store.find(b"other") is not None
        await store.close()

    asyncio.run(check())


def test_sessions_that_have_ended_are_removed(tmp_path: Path) -> None:
    async def check() -> None:
        store = SessionStore(tmp_path)
        await store.add(b"old", Stored(None, b"", "admin", 0, 0, 100))
        await store.add(b"new", Stored(None, b"", "admin", 100, 100, 200))
        assert await store.find(b"old") is None
        await store.close()

    asyncio.run(check())


def test_attempts_of_all_clients_together_are_bounded(tmp_path: Path) -> None:
    async def check() -> None:
        store = SessionStore(tmp_path)
        for number in range(MAX_ATTEMPTS):
            assert await store.begin_attempt(f"10.0.0.{number}", 0) is not None
        assert await store.begin_attempt("10.0.1.0", 59) is None
        assert await store.begin_attempt("10.0.1.0", 60) is not None
        await store.close()

    asyncio.run(check())
