"""`config apply`: makes a store be as a document of `config export` says, in one transaction.

What the document does not name stays, unless it is to be pruned. What the configuration file names wins: such a budget
is not applied, and the result says so.
"""

import tomllib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from proxy.auth.export import exported, group_settings, key_settings
from proxy.auth.groups import Group, GroupStore
from proxy.auth.store import Store
from proxy.auth.values import (
    Fields,
    KeyFields,
    OrgFields,
    TeamFields,
    encoded_budgets,
    valid_budgets,
    valid_limits,
    valid_name,
)
from proxy.config import toml_positions
from proxy.config.faults import explain
from proxy.config.file_budgets import FileOwner
from proxy.config.problems import ConfigProblems, Problem, did_you_mean
from proxy.errors import InvalidRequest

F = TypeVar("F", bound=Fields)
G = TypeVar("G", bound=Group)
_TYPES: Mapping[str, type[Fields]] = {"orgs": OrgFields, "teams": TeamFields, "keys": KeyFields}
_WORDS = {"orgs": "organisation", "teams": "team", "keys": "key"}
#: Tables of the configuration file, which people may look for here.
_OF_THE_FILE = frozenset({"server", "upstreams", "models", "limits", "budgets", "aliases", "admin"})


class Wanted(msgspec.Struct, frozen=True):
    """A document that was read: fields by name, with the lines of a TOML text, and the path of its file."""

    orgs: dict[str, OrgFields]
    teams: dict[str, TeamFields]
    keys: dict[str, KeyFields]
    lines: Mapping[toml_positions.Path, int]
    path: str

    def problem(self, kind: str, name: str, error: InvalidRequest) -> Problem:
        """What is wrong with an entry, with its line."""
        return _problem(self.path, self.lines, _place(kind, name, error), error.message)


class Change(msgspec.Struct, frozen=True):
    """What happens to one object; `before` and `after` are its settings, None where it is not there."""

    kind: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Applied(msgspec.Struct, frozen=True):
    """What was changed, or would be; the secrets of new keys by name; and what was not applied."""

    changes: list[Change]
    secrets: dict[str, str]
    notes: list[str]


class _RolledBack(Exception):
    """A dry run has seen what it would do."""


def read_document(text: str, path: str) -> Wanted:
    """Read a document: TOML, or JSON where it begins with a brace. Raises ConfigProblems with all of its faults."""
    is_json = text.lstrip().startswith("{")
    try:
        document = msgspec.json.decode(text, type=dict[str, Any]) if is_json else tomllib.loads(text)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigProblems([Problem(path, None, "", f"is neither TOML nor JSON: {error}")]) from error
    lines = {} if is_json else toml_positions.locate(text)
    problems: list[Problem] = []
    found: dict[str, dict[str, Any]] = {kind: {} for kind in _TYPES}
    for kind, entries in document.items():
        if kind not in _TYPES:
            hint = "it belongs to the configuration file" if kind in _OF_THE_FILE else did_you_mean(kind, _TYPES)
            first = tuple(entries)[:1] if isinstance(entries, dict) else ()
            problems.append(_problem(path, lines, (kind, *first), f"is not known here ({hint})"))
        elif not isinstance(entries, dict):
            problems.append(_problem(path, lines, (kind,), "is no table"))
        else:
            for name, entry in entries.items():
                try:
                    found[kind][name] = _fields(kind, name, entry)
                except msgspec.ValidationError as error:
                    message, place = explain(error, _TYPES[kind])
                    where = f" (at {place})" if place else ""
                    problems.append(_problem(path, lines, (kind, name), f"{message}{where}"))
                except InvalidRequest as error:
                    problems.append(_problem(path, lines, _place(kind, name, error), error.message))
    if problems:
        raise ConfigProblems(problems)
    return Wanted(found["orgs"], found["teams"], found["keys"], lines, path)


async def apply(
    store: Store, wanted: Wanted, *, owner: FileOwner, actor: str, prune: bool = False, dry_run: bool = False
) -> Applied:
    """Make the store be so; all or nothing. A dry run changes nothing, and has no secrets. Raises ConfigProblems."""
    applied = Applied([], {}, [])
    try:
        async with store.database.transaction():
            await _apply(store, wanted, owner, actor, applied)
            if prune:
                await _prune(store, wanted, actor, applied)
            if dry_run:
                raise _RolledBack
    except _RolledBack:
        applied.secrets.clear()
    return applied


async def _apply(store: Store, wanted: Wanted, owner: FileOwner, actor: str, applied: Applied) -> None:
    for name, org_fields in wanted.orgs.items():
        await _put_group(store.orgs, wanted, ("orgs", "org"), name, org_fields, owner, actor, applied)
    for name, team_fields in wanted.teams.items():
        await _put_group(store.teams, wanted, ("teams", "team"), name, team_fields, owner, actor, applied)
    for name, key_fields in wanted.keys.items():
        before = await store.keys.find(name)
        kept = _without_owned("key", name, key_fields, before, owner, applied)
        try:
            written = await store.keys.put(name, kept, actor=actor)
        except InvalidRequest as error:
            raise ConfigProblems([wanted.problem("keys", name, error)]) from error
        was = None if before is None or written.secret is not None else key_settings(before)
        _compare("keys", name, was, key_settings(written.key), applied)
        if written.secret is not None:
            applied.secrets[name] = written.secret


async def _put_group(
    groups: GroupStore[G, F],
    wanted: Wanted,
    kind: tuple[str, str],
    name: str,
    fields: F,
    owner: FileOwner,
    actor: str,
    applied: Applied,
) -> None:
    before = await groups.find(name)
    kept = _without_owned(kind[1], name, fields, before, owner, applied)
    try:
        after, _ = await groups.put(name, kept, actor=actor)
    except InvalidRequest as error:
        raise ConfigProblems([wanted.problem(kind[0], name, error)]) from error
    _compare(kind[0], name, None if before is None else group_settings(before), group_settings(after), applied)


async def _prune(store: Store, wanted: Wanted, actor: str, applied: Applied) -> None:
    """Revoke the keys and delete the teams and organisations that the document does not name."""
    there = await exported(store)
    removals: tuple[tuple[str, Mapping[str, object], Callable[..., Any]], ...] = (
        ("keys", wanted.keys, store.keys.revoke),
        ("teams", wanted.teams, store.teams.delete),
        ("orgs", wanted.orgs, store.orgs.delete),
    )
    for kind, named, remove in removals:
        for name, settings in there[kind].items():
            if name not in named:
                try:
                    await remove(name, actor=actor)
                except InvalidRequest as error:
                    what = f"the {_WORDS[kind]} {name!r} is not in it, and cannot be removed: {error.message}"
                    raise ConfigProblems([Problem(wanted.path, None, "", what)]) from error
                applied.changes.append(Change(kind, name, settings, None))


def _without_owned(kind: str, name: str, fields: F, before: Any, owner: FileOwner, applied: Applied) -> F:
    """The fields with the budgets that there are, where the configuration file sets them."""
    place = owner(kind, name)
    if place is None:
        return fields
    budgets = before.budgets if before is not None else ()
    wanted = () if fields.budgets is UNSET or fields.budgets is None else fields.budgets
    if encoded_budgets(wanted) != encoded_budgets(budgets):
        applied.notes.append(f"{place} sets the budget of {kind} {name!r} and wins: the one here is not applied")
    return msgspec.structs.replace(fields, budgets=budgets)


def _compare(kind: str, name: str, before: dict[str, Any] | None, after: dict[str, Any], applied: Applied) -> None:
    if before != after:
        applied.changes.append(Change(kind, name, before, after))


def _fields(kind: str, name: str, entry: Any) -> Fields:
    """The fields of one entry. Raises ValidationError and InvalidRequest."""
    valid_name(name, _WORDS[kind])
    fields = msgspec.convert(entry, _TYPES[kind])
    if fields.name is not UNSET:
        raise InvalidRequest("its name stands in the head of its table")
    if fields.limits is not UNSET:
        valid_limits(fields.limits)
    if fields.budgets is not UNSET:
        valid_budgets(fields.budgets)
    return fields


def _place(kind: str, name: str, error: InvalidRequest) -> toml_positions.Path:
    """The path of the setting that an error is about."""
    parts = () if error.param in (None, "name") else str(error.param).split(".")
    return (kind, name, *(int(part) if part.isdigit() else part for part in parts))


def _problem(path: str, lines: Mapping[toml_positions.Path, int], key: toml_positions.Path, message: str) -> Problem:
    return Problem(path, toml_positions.nearest(lines, key), toml_positions.dotted(key), message)
