"""Whose an object is: remembered, stored, found again, and never given to a second key."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from proxy.ledger.journal import Journal
from proxy.ledger.owners import Owners
from proxy.ledger.record import Owned
from proxy.ledger.store import Ledger, prepare

FILE = Owned(id="file-1", kind="file", key="key_a", upstream="openai", created=1)


def run(data_dir: Path, work: Callable[[Ledger], Awaitable[None]], *, shared: bool = False) -> None:
    async def with_ledger() -> None:
        ledger = Ledger(data_dir, interval=0.01, shared=shared)
        await ledger.start()
        try:
            await work(ledger)
        finally:
            await ledger.stop()

    asyncio.run(with_ledger())


async def another(ledger: Ledger) -> Owners:
    """The same database seen by a process that remembers nothing."""
    owners = Owners(ledger.journal, ledger.data_dir / "ledger.db")
    await owners.open()
    return owners


def test_an_object_is_its_keys_at_once(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        assert ledger.owners.record(FILE)
        assert await ledger.owners.owned_by("key_a", "file-1") == FILE
        assert await ledger.owners.owned_by("key_b", "file-1") is None

    run(tmp_path, work)


def test_an_object_is_still_its_keys_after_a_restart(tmp_path: Path) -> None:
    async def make(ledger: Ledger) -> None:
        ledger.owners.record(FILE)

    async def look(ledger: Ledger) -> None:
        assert await ledger.owners.find("file-1") == FILE

    run(tmp_path, make)
    run(tmp_path, look)


def test_what_a_process_made_before_it_died_is_its_keys_at_the_next_start(tmp_path: Path) -> None:
    prepare(tmp_path)
    journal = Journal(tmp_path / "journal", durability="process")
    journal.append(FILE)
    journal.close()

    async def look(ledger: Ledger) -> None:
        assert await ledger.owners.find("file-1") == FILE

    run(tmp_path, look)


def test_an_id_belongs_to_the_first_key_that_made_it(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        ledger.owners.record(FILE)
        await ledger.flush()
        fresh = await another(ledger)
        theirs = msgspec.structs.replace(FILE, key="key_b")
        assert not ledger.owners.record(theirs)
        assert not await fresh.adopt(theirs)
        await fresh.close()
        await ledger.flush()
        assert await ledger.owners.find("file-1") == FILE

    run(tmp_path, work)


def test_a_deleted_object_is_nobodys_before_and_after_it_is_stored(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        ledger.owners.record(FILE)
        await ledger.flush()
        ledger.owners.forget(FILE)
        assert await ledger.owners.find("file-1") is None
        assert await ledger.owners.among("key_a", ["file-1"]) == {}
        await ledger.flush()
        fresh = await another(ledger)
        assert await fresh.find("file-1") is None
        await fresh.close()

    run(tmp_path, work)


def test_of_some_ids_only_the_keys_own_are_told(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        for number, key in enumerate(["key_a", "key_b", "key_a"]):
            ledger.owners.record(msgspec.structs.replace(FILE, id=f"file-{number}", key=key))
        await ledger.flush()
        ledger.owners.record(msgspec.structs.replace(FILE, id="file-9"))
        asked = ["file-0", "file-1", "file-2", "file-9", "file-unknown"]
        assert set(await ledger.owners.among("key_a", asked)) == {"file-0", "file-2", "file-9"}
        fresh = await another(ledger)
        assert set(await fresh.among("key_a", asked)) - {"file-9"} == {"file-0", "file-2"}
        await fresh.close()

    run(tmp_path, work)


def test_a_keys_objects_of_a_kind_are_counted_once_each(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        assert await ledger.owners.count("key_a", "file") == 0
        ledger.owners.record(FILE)
        assert await ledger.owners.count("key_a", "file") == 1
        await ledger.flush()
        assert await ledger.owners.count("key_a", "file") == 1
        assert await ledger.owners.count("key_b", "file") == 0
        assert await ledger.owners.count("key_a", "thread") == 0
        fresh = await another(ledger)
        assert await fresh.count("key_a", "file") == 1
        await fresh.close()
        ledger.owners.forget(FILE)
        assert await ledger.owners.count("key_a", "file") == 0

    run(tmp_path, work)


def test_what_is_remembered_is_bounded_and_the_rest_is_looked_up(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        owners = Owners(ledger.journal, ledger.data_dir / "ledger.db", remembered=2)
        await owners.open()
        for number in range(4):
            owners.record(msgspec.structs.replace(FILE, id=f"file-{number}"))
        await ledger.flush()
        assert [await owners.find(f"file-{number}") is not None for number in range(4)] == [True] * 4
        await owners.close()

    run(tmp_path, work)


def test_what_another_process_has_just_made_is_waited_for(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        other = Ledger(tmp_path, interval=0.01, shared=True)
        await other.start()
        try:
            assert other.owners.record(FILE)
            # The machine may be busy: what is shown is that it is waited for, not how long.
            ledger.owners._patience = 1.0
            assert await ledger.owners.owned_by("key_a", "file-1") == FILE
        finally:
            await other.stop()

    run(tmp_path, work, shared=True)
