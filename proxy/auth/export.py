"""The document of `config export`: live keys, teams and organisations with their limits and budgets, without secrets.

The same store makes the same text. Credits, which are money and no setting, and the documents of organisations, which
have secrets, are not in it.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from proxy.auth.groups import MAX_PAGE, Group, GroupStore
from proxy.auth.keys import StoredKey
from proxy.auth.store import Store
from proxy.auth.values import Fields
from proxy.config.toml_format import toml_key, toml_value

G = TypeVar("G", bound=Group)
F = TypeVar("F", bound=Fields)

_HEAD = """\
# Keys, teams and organisations with their limits and budgets, as `prometheus-gateway config export` writes them.
# `prometheus-gateway config apply FILE` makes a store be like this; --dry-run shows what that would change.
# Not in it: secrets of keys, keys that are revoked or have expired, credits, and the documents of organisations.
"""
_COMMENTS = {
    "orgs": "# Organisations: their limits and budgets bind all keys of all their teams together.",
    "teams": "# Teams: their limits and budgets bind all of their keys together.",
    "keys": "# Keys; models left out are all of them. A key that is not there yet gets a secret, printed once.",
}
#: What of an object is no setting.
_FACTS = frozenset({"id", "name", "version", "hint", "revoked"})

#: Kind ("orgs", "teams", "keys"), name, settings in plain types; what is not set is left out.
Document = dict[str, dict[str, dict[str, Any]]]


async def exported(store: Store) -> Document:
    """The document of a store, as of one moment, in the order of names."""
    now = int(time.time())
    async with store.database.transaction():
        orgs = {org.name: _settings(org.plain()) for org in await all_groups(store.orgs)}
        teams = {team.name: _settings(team.plain()) for team in await all_groups(store.teams)}
        keys = [key async for key in store.keys.all() if key.expires is None or key.expires > now]
    return {"orgs": orgs, "teams": teams, "keys": {key.name: key_settings(key) for key in sorted(keys, key=_name)}}


async def all_groups(groups: GroupStore[G, F]) -> list[G]:
    """All teams or organisations, by name."""
    found: list[G] = []
    after = None
    while page := await groups.list(limit=MAX_PAGE, after=after):
        found += page
        after = page[-1].id
    return found


def key_settings(key: StoredKey) -> dict[str, Any]:
    """The settings of a key; its expiry is an ISO timestamp."""
    settings = _settings(key.plain())
    if key.expires is not None:
        settings["expires"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(key.expires))
    return settings


def group_settings(group: Group) -> dict[str, Any]:
    """The settings of a team or an organisation."""
    return _settings(group.plain())


def as_toml(document: Document) -> str:
    """The document as TOML, with comments."""
    return "\n".join([_HEAD, *_lines(document)]).rstrip("\n") + "\n"


def as_json(document: Document) -> str:
    """The document as JSON."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _settings(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if name not in _FACTS and value not in (None, [], {})}


def _name(key: StoredKey) -> str:
    return key.name


def _lines(document: Document) -> Iterator[str]:
    for kind, entries in document.items():
        if not entries:
            continue
        yield _COMMENTS[kind]
        for name, settings in entries.items():
            yield f"[{kind}.{toml_key(name)}]"
            for setting, value in settings.items():
                yield f"{setting} = {_toml(value)}"
            yield ""


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        pairs = ", ".join(f"{toml_key(str(name))} = {_toml(item)}" for name, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return toml_value(value)
