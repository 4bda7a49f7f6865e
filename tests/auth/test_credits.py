"""Prepaid credits: added once for each Idempotency-Key, and never taken away but by a correction."""

from pathlib import Path

from proxy.auth.store import Store
from tests.auth.stores import refused, run_store

USD = 1_000_000_000


def test_the_same_request_adds_once_and_another_one_is_refused(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.keys.create("app")
        first = await store.credits.add("app", 5 * USD, note="invoice 1", idempotency_key="a", actor="t")
        again = await store.credits.add("app", 5 * USD, note="invoice 1", idempotency_key="a", actor="t")
        assert (first[1], again[1], first[0]) == (True, False, again[0])
        other = store.credits.add("app", 6 * USD, note="invoice 1", idempotency_key="a", actor="t")
        assert await refused(other) == (409, "idempotency_key_reused", "Idempotency-Key")
        assert (await store.keys.get("app")).credits == 5 * USD
        assert [row.action for row in await store.audit.list(action="credit")] == ["credit.add"]

    run_store(tmp_path, test)


def test_the_same_idempotency_key_belongs_to_each_key_apart(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        for name in ("one", "two"):
            await store.keys.create(name)
            assert (await store.credits.add(name, USD, idempotency_key="a", actor="t"))[1]
        assert [(await store.keys.get(name)).credits for name in ("one", "two")] == [USD, USD]

    run_store(tmp_path, test)


def test_the_history_is_paged_and_has_corrections(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.keys.create("app")
        assert (await store.keys.get("app")).credits is None
        for amount in (1, 2, -3):
            await store.credits.add("app", amount, actor="t")
        page = await store.credits.list("app", limit=2)
        assert [credit.amount for credit in page] == [-3, 2]
        assert [credit.amount for credit in await store.credits.list("app", before=page[-1].id)] == [1]
        assert (await store.keys.get("app")).credits == 0

    run_store(tmp_path, test)


def test_what_is_no_amount_is_refused(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.keys.create("app")
        for amount in (0, 10**18 + 1, -(10**18) - 1):
            assert (await refused(store.credits.add("app", amount, actor="t")))[2] == "amount"
        await store.credits.add("app", 10**18, actor="t")
        assert (await refused(store.credits.add("app", 1, actor="t")))[2] == "amount"
        assert (await refused(store.credits.add("app", 1, note="a\nb", actor="t")))[2] == "note"
        await store.keys.revoke("app")
        assert (await refused(store.credits.add("app", 1, actor="t")))[1] == "key_not_found"

    run_store(tmp_path, test)
