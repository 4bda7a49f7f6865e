"""Source files as the architecture's rules see them. Nothing of `proxy` is imported or run here."""

import ast
import runpy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name, where it lies, and its text."""

    name: str
    path: str
    source: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)

    @property
    def room(self) -> str:
        """The package or file directly under `proxy`; empty for `proxy` itself."""
        return self.name.partition(".")[2].partition(".")[0]

    def at(self, node: ast.AST, text: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {text}"

    def imports(self) -> Iterator[tuple[ast.stmt, str, tuple[str, ...]]]:
        """Each import with the module it names and the names taken from it."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node, alias.name, ()
            elif isinstance(node, ast.ImportFrom):
                yield node, self._absolute(node), tuple(alias.name for alias in node.names)

    def classes(self) -> Iterator[ast.ClassDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                yield node

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
        base = package[: len(package) - node.level + 1]
        return ".".join([*base, node.module] if node.module else base)


#: What is wrong with a module, one line each.
Rule = Callable[[Module], Iterator[str]]


def is_own(name: str) -> bool:
    return name == "proxy" or name.startswith("proxy.")


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a name or attribute; the last part alone where something else stands before it."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return ""


def last_name(node: ast.expr) -> str:
    """The last part of a name, without arguments and parameters: `B` of `a.B`, `a.B(c)` and `B[c]`."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    return dotted(node).split(".")[-1]


def is_protocol(node: ast.ClassDef) -> bool:
    """Whether the class is an interface by `typing`, and not one of asyncio's connections."""
    names = {dotted(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases}
    return bool(names & {"Protocol", "typing.Protocol"})


def modules_of_proxy() -> list[Module]:
    """All modules of `proxy`."""
    found = []
    for path in sorted((ROOT / "proxy").rglob("*.py")):
        inner = path.relative_to(ROOT)
        is_package = path.name == "__init__.py"
        parts = inner.parent.parts if is_package else inner.with_suffix("").parts
        found.append(Module(".".join(parts), str(inner), path.read_text("utf-8"), is_package))
    assert len(found) > 5, "the modules of `proxy` are not where this test looks for them"
    return found


def compiled_patterns() -> tuple[str, ...]:
    """The paths of what setup.py has compiled."""
    return tuple(runpy.run_path(str(ROOT / "setup.py"))["compiled_files"]())


def is_compiled(module: Module, patterns: Sequence[str]) -> bool:
    if module.path.endswith(("__init__.py", "shapes.py", "schemas.py")):
        return False
    folder = module.path.count("/")
    return any(fnmatch(module.path, one) and folder == one.count("/") for one in patterns)
