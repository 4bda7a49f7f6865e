"""`config apply`: the store is as the document says, or as it was; export and apply are each other's inverse."""

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.auth.apply import Applied, apply, read_document
from proxy.auth.export import as_json, as_toml, exported
from proxy.auth.groups import not_owned
from proxy.auth.store import Store
from proxy.auth.values import KeyFields, TeamFields
from proxy.config.file_budgets import FileOwner
from proxy.config.problems import ConfigProblems
from proxy.config.tree import Budget
from tests.auth.stores import run_store

DOCUMENT = """
[orgs.acme]
[teams.web]
org = "acme"
budgets = [{ limit = "5" }]
[keys.app]
team = "web"
limits = { requests = "600/min" }
"""


async def apply_text(store: Store, text: str, owner: FileOwner = not_owned, **options: bool) -> Applied:
    return await apply(store, read_document(text, "d.toml"), owner=owner, actor="t", **options)


def test_it_creates_changes_and_is_idempotent(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        first = await apply_text(store, DOCUMENT)
        assert [(change.kind, change.name, change.before) for change in first.changes] == [
            ("orgs", "acme", None),
            ("teams", "web", None),
            ("keys", "app", None),
        ]
        assert list(first.secrets) == ["app"]
        again = await apply_text(store, DOCUMENT)
        assert again == Applied([], {}, [])
        changed = await apply_text(store, DOCUMENT.replace('team = "web"', ""))
        assert [change.name for change in changed.changes] == ["app"]
        assert (changed.secrets, (await store.keys.get("app")).team) == ({}, "")

    run_store(tmp_path, test)


def test_a_dry_run_says_the_same_and_changes_nothing(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.keys.add(KeyFields(name="app", tags=["a"]), actor="t")
        await store.keys.create("other")
        before = await exported(store)
        dry = await apply_text(store, DOCUMENT, dry_run=True, prune=True)
        assert (await exported(store), dry.secrets, len(await store.audit.list())) == (before, {}, 2)
        assert (await apply_text(store, DOCUMENT, prune=True)).changes == dry.changes

    run_store(tmp_path, test)


def test_only_pruning_removes_what_is_not_named(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await apply_text(store, DOCUMENT)
        assert (await apply_text(store, "")).changes == []
        pruned = await apply_text(store, "[orgs.acme]", prune=True)
        assert [(change.kind, change.after) for change in pruned.changes] == [("keys", None), ("teams", None)]
        assert await exported(store) == {"orgs": {"acme": {}}, "teams": {}, "keys": {}}

    run_store(tmp_path, test)


def test_of_a_faulty_document_nothing_is_applied(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        with pytest.raises(ConfigProblems) as caught:
            await apply_text(store, DOCUMENT + '[keys.bad]\nteam = "none"\n')
        assert str(caught.value) == (
            "d.toml:10: keys.bad.team: there is no team 'none'; list them to see, or create it"
        )
        assert await exported(store) == {"orgs": {}, "teams": {}, "keys": {}}
        assert await store.audit.list() == []

    run_store(tmp_path, test)


def test_what_the_configuration_file_names_wins_and_is_said(tmp_path: Path) -> None:
    def owner(kind: str, name: str) -> str | None:
        return "p.toml:3: budgets.b" if (kind, name) == ("team", "web") else None

    async def test() -> None:
        async with Store(tmp_path, owner=owner) as store:
            applied = await apply_text(store, DOCUMENT, owner)
            (note,) = applied.notes
            assert note.startswith("p.toml:3: budgets.b sets the budget of team 'web' and wins")
            assert (await store.teams.get("web")).budgets == ()
            assert (await apply_text(store, DOCUMENT, owner)).changes == []

    asyncio.run(test())


def test_budgets_that_were_there_before_the_file_named_them_stay(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.teams.create(TeamFields(name="web", budgets=[Budget(limit=Decimal(9))]), actor="t")
        await apply_text(store, DOCUMENT, lambda kind, name: "budgets.b" if name == "web" else None)
        assert [budget.limit for budget in (await store.teams.get("web")).budgets] == [9]

    run_store(tmp_path, test)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[budgets.x]\nlimit = "5"', "d.toml:1: budgets.x: is not known here (it belongs to the configuration file)"),
        ("[key.a]", 'd.toml:1: key.a: is not known here (did you mean "keys"?)'),
        ("\n[keys.a]\nfoo = 1", "d.toml:2: keys.a: no field is named"),
        ('[keys.a]\nname = "b"', "d.toml:1: keys.a: its name stands in the head of its table"),
        ("[keys.key_000000000001]", "d.toml:1: keys.key_000000000001: a key's name may not look like an id"),
        ('[teams.a.limits]\nrequests = "5"', 'd.toml:2: teams.a.limits.requests: requests is no rate: "5"'),
        ('[orgs.a]\nbudgets = [{limit = "5", window = "x"}]', "d.toml:2: orgs.a.budgets[0].window: 'x' is no window"),
        ("[keys.a]\nlimits = 5", "Expected `object | null`, got `int`"),
        ("keys = 5", "is no table"),
        ("[", "is neither TOML nor JSON"),
        ("{", "is neither TOML nor JSON"),
    ],
)
def test_faults_are_named_with_their_lines(text: str, said: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        read_document(text, "d.toml")
    assert said in str(caught.value)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ConfigProblems) as caught:
        read_document("[keys.a]\nfoo = 1\n[teams.b]\nbar = 1\n[other]", "d.toml")
    assert len(caught.value.problems) == 3


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12).filter(
    lambda name: name.isprintable() and name == name.strip()
)
RATES = st.sampled_from(["600/min", "10/s, 5000/h", "1/d"])
LIMITS = st.fixed_dictionaries({}, optional={"requests": RATES, "tokens": RATES, "concurrent": st.integers(1, 99)})
BUDGETS = st.lists(
    st.fixed_dictionaries(
        {"limit": st.decimals(0, 1_000_000, places=9).map(lambda one: format(one, "f"))},
        optional={
            "window": st.sampled_from(["day", "week:sun", "month:15", "total"]),
            "zone": st.sampled_from(["Europe/Berlin", "Asia/Kolkata"]),
            "on_exceed": st.sampled_from(["soft_cap", "stop_stream", "warn"]),
            "warn": st.lists(st.integers(0, 100), max_size=3),
            "models": st.lists(NAMES, max_size=2),
        },
    ),
    max_size=1,
)
TEXT = st.text(max_size=20)
METADATA = st.recursive(
    TEXT | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=5,
)
SETTINGS: dict[str, Any] = {"limits": LIMITS, "budgets": BUDGETS}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    orgs = draw(st.dictionaries(NAMES, st.fixed_dictionaries({}, optional=SETTINGS), max_size=2))
    in_orgs = {"org": st.sampled_from(sorted(orgs))} if orgs else {}
    teams = draw(st.dictionaries(NAMES, st.fixed_dictionaries({}, optional={**SETTINGS, **in_orgs}), max_size=2))
    of_keys = {
        **SETTINGS,
        **({"team": st.sampled_from(sorted(teams))} if teams else {}),
        "tags": st.lists(NAMES.filter(lambda tag: "," not in tag), max_size=3),
        "models": st.lists(NAMES, min_size=1, max_size=3),
        "expires": st.just("2999-12-31T23:59:59Z"),
        "metadata": st.dictionaries(TEXT, METADATA, max_size=3),
    }
    keys = draw(st.dictionaries(NAMES, st.fixed_dictionaries({}, optional=of_keys), max_size=3))
    return {"orgs": orgs, "teams": teams, "keys": keys}


@settings(max_examples=12, deadline=None)
@given(documents())
def test_export_and_apply_are_inverse(document: dict[str, dict[str, Any]]) -> None:
    async def test(one: Path, other: Path) -> None:
        async with Store(one) as first, Store(other) as second:
            await apply_text(first, as_json(document))
            text = as_toml(await exported(first))
            await apply_text(second, text)
            assert as_toml(await exported(second)) == text
            assert (await apply_text(second, as_json(await exported(first)), prune=True)).changes == []

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        asyncio.run(test(Path(one), Path(other)))
