"""Interfaces of compiled code: base classes or traits. A call through a `Protocol` costs twice that of either there."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from tests.architecture.source import Module, compiled_patterns, is_compiled, is_protocol

#: Protocols that compiled modules define all the same. There are none; the list may not grow.
PROTOCOLS: frozenset[str] = frozenset()


def compiled_protocols(modules: Sequence[Module], patterns: Sequence[str] | None = None) -> dict[str, str]:
    """Each Protocol that a compiled module defines or imports, with its place."""
    patterns = compiled_patterns() if patterns is None else patterns
    protocols = {
        f"{one.name}.{node.name}": one.at(node, "") for one in modules for node in one.classes() if is_protocol(node)
    }
    compiled = [module for module in modules if is_compiled(module, patterns)]
    names = {module.name for module in compiled}
    found = {name: place for name, place in protocols.items() if name.rpartition(".")[0] in names}
    for module in compiled:
        for node, source, taken in module.imports():
            for name in taken:
                if f"{source}.{name}" in protocols:
                    found.setdefault(f"{source}.{name}", module.at(node, ""))
    return found


def protocols_in_compiled_code(
    modules: Sequence[Module], left: AbstractSet[str] = PROTOCOLS, patterns: Sequence[str] | None = None
) -> Iterator[str]:
    for name, place in compiled_protocols(modules, patterns).items():
        if name not in left:
            yield f"{place}`{name.rpartition('.')[2]}` is a Protocol in compiled code: make it a base class or trait"


def stale_protocols(modules: Sequence[Module], left: AbstractSet[str] = PROTOCOLS) -> Iterator[str]:
    for name in sorted(left - compiled_protocols(modules).keys()):
        yield f"{name}: is no Protocol of compiled code any more: take its exemption out"
