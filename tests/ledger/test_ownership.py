"""Whose an object is: remembered, stored, found again, and never given to a second key."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from proxy.errors import StoreFailed
from proxy.ledger import ownership as module
from proxy.ledger.journal import Journal
from proxy.ledger.ledger import Ledger, prepare
from proxy.ledger.ownership import Owners
from proxy.ledger.record import OwnershipRecord

FILE = OwnershipRecord(id="file-1", kind="file", key="key_a", upstream="openai", created=1)
THEIRS = msgspec.structs.replace(FILE, key="key_b", created=2)


def run(data_dir: Path, work: Callable[[Ledger], Awaitable[None]], *, shared: bool = False) -> None:
    async def with_ledger() -> None:
        ledger = Ledger(data_dir, interval=0.01, shared=shared)
        await ledger.start()
        try:
            await work(ledger)
        finally:
            await ledger.stop()

    asyncio.run(with_ledger())


@asynccontextmanager
async def another(ledger: Ledger, **options: int) -> AsyncIterator[Owners]:
    """The same database seen by a process that remembers nothing."""
    owners = Owners(ledger.journal, ledger.data_dir / "ledger.db", **options)
    await owners.open()
    try:
        yield owners
    finally:
        # Whatever failed: an open database keeps a thread.
        await owners.close()


@asynccontextmanager
async def worker(data_dir: Path) -> AsyncIterator[Ledger]:
    """Another worker of the same gateway. Only one writes the database, and may do so late."""
    ledger = Ledger(data_dir, interval=0.01, shared=True)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.stop()


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
        async with another(ledger) as fresh:
            assert not ledger.owners.record(THEIRS)
            assert not await fresh.adopt(THEIRS)
        await ledger.flush()
        assert await ledger.owners.find("file-1") == FILE

    run(tmp_path, work)


def test_a_deleted_object_has_no_owner_before_and_after_it_is_stored(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        ledger.owners.record(FILE)
        await ledger.flush()
        ledger.owners.forget(FILE)
        assert await ledger.owners.find("file-1") is None
        assert await ledger.owners.among("key_a", ["file-1"]) == {}
        await ledger.flush()
        async with another(ledger) as fresh:
            assert await fresh.find("file-1") is None

    run(tmp_path, work)


def test_of_some_ids_only_the_keys_own_are_returned(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        for number, key in enumerate(["key_a", "key_b", "key_a"]):
            ledger.owners.record(msgspec.structs.replace(FILE, id=f"file-{number}", key=key))
        await ledger.flush()
        ledger.owners.record(msgspec.structs.replace(FILE, id="file-9"))
        asked = ["file-0", "file-1", "file-2", "file-9", "file-unknown"]
        assert set(await ledger.owners.among("key_a", asked)) == {"file-0", "file-2", "file-9"}
        async with another(ledger) as fresh:
            assert set(await fresh.among("key_a", asked)) - {"file-9"} == {"file-0", "file-2"}

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
        async with another(ledger) as fresh:
            assert await fresh.count("key_a", "file") == 1
        ledger.owners.forget(FILE)
        assert await ledger.owners.count("key_a", "file") == 0

    run(tmp_path, work)


def test_what_is_remembered_is_bounded_and_the_rest_is_looked_up(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        async with another(ledger, max_cached=2) as owners:
            for number in range(4):
                owners.record(msgspec.structs.replace(FILE, id=f"file-{number}"))
            await ledger.flush()
            assert [await owners.find(f"file-{number}") is not None for number in range(4)] == [True] * 4

    run(tmp_path, work)


def test_what_another_process_has_just_made_is_waited_for(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        async with worker(tmp_path) as other:
            assert other.owners.record(FILE)
            # The machine may be busy: what is shown is that it is waited for, not how long.
            ledger.owners._lookup_wait = 1.0
            assert await ledger.owners.owned_by("key_a", "file-1") == FILE

    run(tmp_path, work, shared=True)


async def is_alices_alone(owners: Owners) -> None:
    """Whichever way it is asked for, the object is that of the first key."""
    assert await owners.owned_by("key_b", "file-1") is None
    assert await owners.among("key_b", ["file-1"]) == {}
    assert await owners.count("key_b", "file") == 0
    assert await owners.find("file-1") == FILE
    assert await owners.among("key_a", ["file-1"]) == {"file-1": FILE}
    assert await owners.count("key_a", "file") == 1


@pytest.mark.parametrize("first", ["owned_by", "among", "count", "find"])
def test_an_id_still_belongs_to_the_first_key_when_another_makes_it_after_a_restart(tmp_path: Path, first: str) -> None:
    async def make(ledger: Ledger) -> None:
        ledger.owners.record(FILE)

    async def make_again(ledger: Ledger) -> None:
        owners = ledger.owners
        owners.record(THEIRS)
        # Each of these may be the first to be asked.
        if first == "owned_by":
            assert await owners.owned_by("key_b", "file-1") is None
        elif first == "among":
            assert await owners.among("key_b", ["file-1"]) == {}
        elif first == "count":
            assert await owners.count("key_b", "file") == 0
        await is_alices_alone(owners)
        await ledger.flush()
        async with another(ledger) as fresh:
            await is_alices_alone(fresh)

    run(tmp_path, make)
    run(tmp_path, make_again)


def test_an_id_still_belongs_to_the_first_key_when_it_is_no_longer_remembered(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        async with another(ledger, max_cached=2) as owners:
            owners.record(FILE)
            for number in range(2, 5):
                owners.record(msgspec.structs.replace(FILE, id=f"other-{number}", kind="thread"))
            await ledger.flush()
            owners.record(THEIRS)
            await is_alices_alone(owners)

    run(tmp_path, work)


def test_an_id_still_belongs_to_the_first_key_when_another_workers_record_is_stored_first(tmp_path: Path) -> None:
    """The journal of the first key's worker is read last, and nothing is stored when the other key asks."""

    async def work(ledger: Ledger) -> None:
        async with worker(tmp_path) as other:
            ledger.owners.record(FILE)
            other.owners.record(THEIRS)
            await is_alices_alone(other.owners)
            await is_alices_alone(ledger.owners)
            await ledger.flush()
            async with another(ledger) as fresh:
                await is_alices_alone(fresh)

    run(tmp_path, work, shared=True)


def test_a_claim_is_not_believed_while_the_journals_of_other_workers_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BEHIND_SECONDS", 0.05)

    async def work() -> None:
        ledger = Ledger(tmp_path, interval=3600, shared=True)
        await ledger.start()
        other = Journal(tmp_path / "journal", durability="process")
        try:
            # Behind its first look at the journals the writer takes an hour's rest.
            ledger.owners.record(msgspec.structs.replace(FILE, id="file-0"))
            while ledger.journal.unstored:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            other.append(FILE)
            ledger.owners.record(THEIRS)
            with pytest.raises(StoreFailed):
                await ledger.owners.find("file-1")
            await ledger.flush()
            assert await ledger.owners.find("file-1") == FILE
        finally:
            other.close()
            await ledger.stop()

    asyncio.run(work())


def test_of_two_keys_in_one_journal_the_first_counts(tmp_path: Path) -> None:
    prepare(tmp_path)
    journal = Journal(tmp_path / "journal", durability="process")
    journal.append(FILE)
    journal.append(THEIRS)
    journal.append(msgspec.structs.replace(THEIRS, gone=True))
    journal.close()

    async def look(ledger: Ledger) -> None:
        await is_alices_alone(ledger.owners)

    run(tmp_path, look)


def test_of_two_keys_in_two_journals_the_first_counts_though_its_journal_is_read_last(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        ledger.owners.record(THEIRS)
        await ledger.flush()
        late = Journal(tmp_path / "journal", durability="process")
        late.append(FILE)
        late.close()

    async def look(ledger: Ledger) -> None:
        await is_alices_alone(ledger.owners)

    run(tmp_path, work)
    run(tmp_path, look)


@pytest.mark.parametrize("first", [0, 1])
def test_what_several_journals_say_of_an_id_is_taken_in_the_order_in_which_it_was(tmp_path: Path, first: int) -> None:
    prepare(tmp_path)
    said = [[FILE, msgspec.structs.replace(FILE, gone=True, created=2)], [msgspec.structs.replace(THEIRS, created=3)]]
    for records in (said[first], said[1 - first]):
        journal = Journal(tmp_path / "journal", durability="process")
        for record in records:
            journal.append(record)
        journal.close()

    async def look(ledger: Ledger) -> None:
        found = await ledger.owners.find(FILE.id)
        assert found is not None
        assert found.key == THEIRS.key

    run(tmp_path, look)


def test_an_id_that_is_known_is_not_adopted_anew(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        ledger.owners.record(FILE)
        await ledger.flush()
        async with another(ledger) as fresh:
            before = ledger.journal.positions()
            assert await fresh.adopt(msgspec.structs.replace(FILE, kind="vector_store", created=2))
            assert not await fresh.adopt(THEIRS)
            assert ledger.journal.positions() == before

    run(tmp_path, work)


def test_the_first_key_may_still_name_its_objects_alias_later(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        named = msgspec.structs.replace(FILE, alias="core", model="gpt-5")
        ledger.owners.record(FILE)
        ledger.owners.record(msgspec.structs.replace(named, created=3))
        assert await ledger.owners.find("file-1") == named
        await ledger.flush()
        async with another(ledger) as fresh:
            assert await fresh.find("file-1") == named

    run(tmp_path, work)


def test_an_id_that_was_deleted_may_be_made_again_by_another_key(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        ledger.owners.record(FILE)
        await ledger.flush()
        ledger.owners.forget(FILE)
        later = msgspec.structs.replace(THEIRS, created=2**52)
        assert ledger.owners.record(later)
        assert await ledger.owners.find("file-1") == later
        await ledger.flush()
        async with another(ledger) as fresh:
            assert await fresh.find("file-1") == later
            assert await fresh.count("key_a", "file") == 0

    run(tmp_path, work)


def test_a_count_looks_at_what_is_not_stored_and_nothing_else(tmp_path: Path) -> None:
    """What other keys made, and what was found in the database once, costs a list nothing."""

    async def work(ledger: Ledger) -> None:
        owners = ledger.owners
        for number in range(100):
            owners.record(msgspec.structs.replace(FILE, id=f"theirs-{number}", key="key_b"))
            owners.record(msgspec.structs.replace(FILE, id=f"thread-{number}", kind="thread"))
            owners.record(msgspec.structs.replace(FILE, id=f"file-{number}"))
        assert len(owners._unstored["key_a", "file"]) == 100
        assert await owners.count("key_a", "file") == 100
        await ledger.flush()
        assert await owners.count("key_a", "file") == 100
        assert ("key_a", "file") not in owners._unstored
        owners.forget(msgspec.structs.replace(FILE, id="file-7"))
        assert owners._unstored["key_a", "file"] == {"file-7"}
        assert await owners.count("key_a", "file") == 99
        await ledger.flush()
        assert await owners.count("key_a", "file", "thread") == 199

    run(tmp_path, work)
