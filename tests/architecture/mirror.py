"""`tests/` mirrors `proxy/`: a module's own test is where a reader looks first, and a module without one shows."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from tests.architecture.source import ROOT, Module

#: Modules whose tests are elsewhere, under the name of what they do. The list only shrinks.
UNNAMED: frozenset[str] = frozenset(
    {
        "proxy.exchange.services",
        "proxy.native",
    }
)

#: The built-in provider is tested as one; its files are no part of the gateway.
_ROOMS = frozenset({"demo"})
_FILES = frozenset({"__main__", "schemas"})


def test_of(name: str) -> str:
    """Where a module's own test is: `tests/wire/test_sse.py` of `proxy.wire.sse`."""
    *rooms, file = name.split(".")[1:]
    return "/".join(["tests", *rooms, f"test_{file}.py"])


def needs_test(module: Module) -> bool:
    file = module.name.rpartition(".")[2]
    return not (module.is_package or module.room in _ROOMS or file in _FILES)


def untested(module: Module, unnamed: AbstractSet[str] = UNNAMED, root: Path = ROOT) -> Iterator[str]:
    if needs_test(module) and module.name not in unnamed and not (root / test_of(module.name)).exists():
        yield module.at(module.tree, f"no {test_of(module.name)}: move its tests there")


def stale_names(modules: Sequence[Module], unnamed: AbstractSet[str] = UNNAMED, root: Path = ROOT) -> Iterator[str]:
    names = {module.name for module in modules if needs_test(module)}
    for name in sorted(unnamed):
        if name not in names or (root / test_of(name)).exists():
            yield f"{name}: has its test, or is gone: take its exemption out"
