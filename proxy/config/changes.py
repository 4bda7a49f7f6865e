"""Compares the running configuration with a new one: what changes, and what needs a restart. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.config.tree import Config, Server

#: Settings of `[server]` that are fixed by open sockets, processes and files.
NEEDS_RESTART = ("host", "port", "workers", "data_dir", "durability", "journal_max_bytes", "key_prefix")


class Changes(msgspec.Struct, frozen=True):
    """Dotted names of what is added, removed and changed, and of what stays as it is until a restart."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        parts = [f"{word} {', '.join(names)}" for word, names in words if names]
        if self.needs_restart:
            parts.append(f"needs a restart: {', '.join(self.needs_restart)}")
        return "; ".join(parts) or "nothing has changed"


def applicable(running: Config, wanted: Config) -> Config:
    """The wanted configuration, with the running settings that only a restart can change."""
    kept = {name: getattr(running.server, name) for name in NEEDS_RESTART}
    return msgspec.structs.replace(
        wanted,
        server=msgspec.structs.replace(wanted.server, **kept),
        admin=msgspec.structs.replace(wanted.admin, listen=running.admin.listen),
        otel=running.otel,
    )


def changes(running: Config, wanted: Config) -> Changes:
    """The differences between the running and the wanted configuration."""
    other = {name for name in Server.__struct_fields__ if getattr(running.server, name) != getattr(wanted.server, name)}
    added, removed, changed = [], [], [f"server.{name}" for name in sorted(other.difference(NEEDS_RESTART))]
    sections: tuple[tuple[str, Mapping[Any, Any], Mapping[Any, Any]], ...] = (
        ("upstreams", running.upstreams, wanted.upstreams),
        ("models", running.models, wanted.models),
        ("limits", running.limits, wanted.limits),
        ("budgets", running.budgets, wanted.budgets),
    )
    if running.webhooks != wanted.webhooks:
        changed.append("webhooks")
    for section, before, after in sections:
        added += [f"{section}.{name}" for name in after if name not in before]
        removed += [f"{section}.{name}" for name in before if name not in after]
        changed += [f"{section}.{name}" for name in after if name in before and after[name] != before[name]]
    fixed = [f"server.{name}" for name in NEEDS_RESTART if name in other]
    changed += _differing("metrics", running.metrics, wanted.metrics)
    for name in _differing("admin", running.admin, wanted.admin):
        (fixed if name == "admin.listen" else changed).append(name)
    fixed += _differing("otel", running.otel, wanted.otel)
    return Changes(tuple(added), tuple(removed), tuple(changed), tuple(fixed))


def _differing(section: str, before: msgspec.Struct, after: msgspec.Struct) -> list[str]:
    """The dotted names of the settings of a section that differ."""
    names = before.__struct_fields__
    return [f"{section}.{name}" for name in names if getattr(before, name) != getattr(after, name)]
