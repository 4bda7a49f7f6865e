"""How commands show keys, teams and organisations: as JSON, as rows of a table, and one of them in full."""

from collections.abc import Mapping, Sequence
from typing import Any

from proxy.auth.groups import Group
from proxy.auth.keys import Key, StoredKey
from proxy.auth.teams import Team
from proxy.cli.output import minute, print_json, print_line, print_note, print_table, usd, utc
from proxy.cli.subjects import budgets_text, limits_text


def key_data(key: Key) -> dict[str, object]:
    """A key in plain types, without its secret."""
    data: dict[str, object] = {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "models": None if key.models is None else sorted(key.models),
        "created": time_text(key.created),
        "expires": time_text(key.expires),
        "revoked": time_text(key.revoked),
    }
    if isinstance(key, StoredKey):
        plain = key.plain()
        data |= {name: plain[name] for name in ("team", "tags", "limits", "budgets", "metadata", "version")}
        data["credits"] = None if key.credits is None else usd(key.credits)
    return data


def group_data(group: Group) -> dict[str, object]:
    """A team or an organisation in plain types."""
    members = "keys" if isinstance(group, Team) else "teams"
    return {**group.plain(), members: group.members, "created": time_text(group.created)}


KEY_HEADINGS = ("id", "name", "ends in", "models", "team", "tags", "limits", "budgets", "created", "expires")


def key_row(key: Key) -> tuple[object, ...]:
    """The cells below KEY_HEADINGS."""
    stored = key if isinstance(key, StoredKey) else None
    return (
        key.id,
        key.name,
        key.hint,
        _models(key),
        stored.team_name if stored else "",
        ", ".join(key.tags),
        limits_text(stored.limits) if stored else "",
        budgets_text(stored.budgets) if stored else "",
        minute_text(key.created)[:10],
        minute_text(key.expires),
    )


def print_key(key: StoredKey) -> None:
    """Print all of a key, a line each; what it has not is left out."""
    _print_facts(
        {
            "id": key.id,
            "name": key.name,
            "ends in": key.hint,
            "models": _models(key),
            "team": key.team_name,
            "tags": ", ".join(key.tags),
            **_facts_of(limits_text(key.limits), [budgets_text([budget]) for budget in key.budgets]),
            "credits": "" if key.credits is None else f"{usd(key.credits)} USD in all",
            "metadata": ", ".join(f"{name}={value}" for name, value in (key.metadata or {}).items()),
            "created": minute_text(key.created),
            "expires": minute_text(key.expires),
            "revoked": minute_text(key.revoked),
            "version": key.version,
        }
    )


def print_group(group: Group, members: str) -> None:
    """Print all of a team or an organisation; `members` is what it has."""
    _print_facts(
        {
            "id": group.id,
            "name": group.name,
            "org": group.org_name if isinstance(group, Team) else "",
            members: group.members,
            **_facts_of(limits_text(group.limits), [budgets_text([budget]) for budget in group.budgets]),
            "created": minute_text(group.created),
            "version": group.version,
        }
    )


def print_groups(found: Sequence[Group], limit: int, as_json: bool, members: str, nothing: str) -> None:
    """Print a page of teams or organisations; `found` has one more where there are more."""
    groups = found[:limit]
    if as_json:
        print_json([group_data(group) for group in groups])
    elif groups:
        with_org = isinstance(groups[0], Team)
        headings = ("id", "name", *(["org"] if with_org else []), members, "limits", "budgets", "created")
        rows = [
            (
                group.id,
                group.name,
                *([group.org_name] if isinstance(group, Team) else []),
                group.members,
                limits_text(group.limits),
                budgets_text(group.budgets),
                minute_text(group.created)[:10],
            )
            for group in groups
        ]
        print_table(headings, rows, ("created",), ("limits", "budgets"))
    else:
        print_note(nothing)
    if len(found) > limit:
        print_note(f"There are more: --after {groups[-1].id}")


def time_text(seconds: int | None) -> str | None:
    """Seconds since 1970 as a UTC time."""
    return None if seconds is None else utc(seconds * 1_000_000)


def minute_text(seconds: int | None) -> str:
    """The same in minutes; nothing for None."""
    return "" if seconds is None else minute(seconds * 1_000_000)


def _models(key: Key) -> str:
    return "all" if key.models is None else ", ".join(sorted(key.models))


def _facts_of(limits: str, budgets: Sequence[str]) -> dict[str, Any]:
    named = {"budget" if len(budgets) == 1 else f"budget {place}": text for place, text in enumerate(budgets, 1)}
    return {"limits": limits, **named}


def _print_facts(facts: Mapping[str, object]) -> None:
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        if value not in ("", None):
            print_line(f"{name}:".ljust(width) + str(value))
