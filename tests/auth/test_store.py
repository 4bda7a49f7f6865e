"""The store: teams, organisations and keys over one connection, and what a change of each does to the others."""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from proxy.auth.store import Store
from proxy.auth.values import KeyFields, OrgFields, TeamFields
from proxy.config.tree import Budget, Limits
from proxy.errors import InvalidRequest
from tests.auth.stores import run_store as run


def test_a_key_has_all_that_it_was_given(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.orgs.create(OrgFields(name="acme"), actor="t")
        team = await store.teams.create(TeamFields(name="web", org="acme"), actor="t")
        budget = Budget(limit=Decimal("500.00"), window="week:sun", zone="Europe/Berlin")
        key, _ = await store.keys.add(
            KeyFields(
                name="app",
                team="web",
                tags=["b", "a", "a"],
                limits=Limits(requests="600/min"),
                budgets=[budget],
                metadata={"who": {"deep": 1}},
            ),
            actor="t",
        )
        assert (key.team, key.team_name, key.tags) == (team.id, "web", ("a", "b"))
        assert (key.limits, key.budgets, key.metadata) == (Limits(requests="600/min"), (budget,), {"who": {"deep": 1}})
        assert await store.keys.get("app") == key
        assert [one.name for one in await store.keys.list(team="web", org="acme", tag="a", name="pp")] == ["app"]
        for nothing in ({"team": "x"}, {"org": "x"}, {"tag": "c"}, {"name": "x"}):
            assert await store.keys.list(**nothing) == []  # type: ignore[arg-type]

    run(tmp_path, test)


def test_what_is_not_given_stays_in_an_update_and_goes_in_a_put(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.keys.add(KeyFields(name="app", tags=["a"], models=["core"]), actor="t")
        assert (await store.keys.update("app", KeyFields(limits=Limits(concurrent=1)), actor="t")).tags == ("a",)
        written = await store.keys.put("app", KeyFields(models=["core"]), actor="t")
        assert (written.created, written.secret, written.key.tags, written.key.limits) == (False, None, (), None)
        assert written.key.models == frozenset({"core"})
        again = await store.keys.put("app", KeyFields(models=["core"]), actor="t")
        assert again.key.version == written.key.version
        new = await store.keys.put("new", KeyFields(), actor="t")
        assert new.created
        assert new.secret is not None

    run(tmp_path, test)


def test_a_change_for_another_version_is_refused(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        key, _ = await store.keys.add(KeyFields(name="app"), actor="t")
        await store.keys.update("app", KeyFields(tags=["a"]), actor="t", expected=key.version)
        with pytest.raises(InvalidRequest) as caught:
            await store.keys.update("app", KeyFields(tags=["b"]), actor="t", expected=key.version)
        assert (caught.value.status, caught.value.code) == (412, "version_mismatch")
        assert (await store.keys.get("app")).tags == ("a",)

    run(tmp_path, test)


def test_two_processes_that_change_at_once_make_all_of_their_changes(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path; from proxy.auth.store import Store\n"
        "from proxy.auth.values import KeyFields\n"
        "async def main():\n"
        "    async with Store(Path(sys.argv[1])) as store:\n"
        "        for number in range(10):\n"
        "            await store.keys.add(KeyFields(name=f'{sys.argv[2]}{number}', team='web'), actor='t')\n"
        "            await store.credits.add(f'{sys.argv[2]}{number}', 1, actor='t')\n"
        "asyncio.run(main())\n"
    )

    async def test(store: Store) -> None:
        await store.teams.create(TeamFields(name="web"), actor="t")
        # Longer than any other process holds the file.
        processes = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(tmp_path), name) for name in "ab"
        ]
        assert [await process.wait() for process in processes] == [0, 0]
        keys = await store.keys.list()
        assert sorted(key.name for key in keys) == sorted(f"{name}{number}" for name in "ab" for number in range(10))
        assert {key.credits for key in keys} == {1}
        assert len(await store.audit.list()) == 41
        revisions = await store.database.rows("SELECT count(*), count(DISTINCT revision) FROM keys")
        assert tuple(revisions[0]) == (20, 20)

    run(tmp_path, test)


def test_what_a_killed_process_had_begun_is_undone(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, signal, sys; from pathlib import Path; from proxy.auth.store import Store\n"
        "from proxy.auth.values import KeyFields\n"
        "async def main():\n"
        "    async with Store(Path(sys.argv[1])) as store:\n"
        "        await store.keys.create('kept')\n"
        "        async with store.database.transaction() as connection:\n"
        "            await connection.execute('PRAGMA cache_size = 1')\n"
        "            for number in range(200):\n"
        "                await store.keys.add(KeyFields(name=f'lost{number}', tags=['x' * 60]), actor='t')\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )

    async def test() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(tmp_path))
        assert await process.wait() == -9
        async with Store(tmp_path) as store:
            assert [key.name for key in await store.keys.list()] == ["kept"]
            assert [row.name for row in await store.audit.list()] == ["kept"]

    asyncio.run(test())
