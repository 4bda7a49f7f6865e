"""Every error code of the gateway's own stands in the documentation, with the type and the status that it has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import errors
from proxy.errors import GatewayError

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "errors.md"
#: What clients of the demo's provider get, as from a real one.
NOT_OURS = ROOT / "proxy" / "demo"


def classes() -> dict[str, type[GatewayError]]:
    """The classes of errors by name."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, GatewayError)
    }


def raised() -> Iterator[tuple[str, str, int]]:
    """(code, type, status) of each error that the code can make; the status is 0 where it is computed."""
    for one in classes().values():
        if one.code is not None:
            yield one.code, one.type, one.status
    for path in sorted((ROOT / "proxy").rglob("*.py")):
        if NOT_OURS not in path.parents:
            yield from raised_in(ast.parse(path.read_text()))


def raised_in(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """The same for one file: the calls that name a code, and the classes of other files that have one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from coded_class(node)
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes()):
            continue
        made = classes()[node.func.id]
        given = {word.arg: word.value for word in node.keywords}
        code, status = given.get("code"), given.get("status")
        known = status.value if isinstance(status, ast.Constant) else 0 if status is not None else made.status
        assert isinstance(known, int)
        for one in codes_of(code):
            yield one, made.type, known


def codes_of(code: ast.expr | None) -> Iterator[str]:
    """The codes that an expression stands for; one that begins with a kind of group is that of each kind."""
    if isinstance(code, ast.Constant) and isinstance(code.value, str):
        yield code.value
    if isinstance(code, ast.JoinedStr):
        kind, ending = code.values
        assert isinstance(kind, ast.FormattedValue)
        assert isinstance(ending, ast.Constant)
        assert isinstance(ending.value, str)
        yield from (f"{kind}{ending.value}" for kind in ("team", "org"))


def coded_class(node: ast.ClassDef) -> Iterator[tuple[str, str, int]]:
    """What a class that is made of one of the errors says of itself."""
    bases = [classes()[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes()]
    own = {
        target.id: statement.value.value
        for statement in node.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    for base in bases:
        if "code" in own:
            yield str(own["code"]), str(own.get("type", base.type)), int(own.get("status", base.status))  # type: ignore[arg-type]


def documented() -> dict[tuple[str, str], frozenset[int]]:
    """The statuses of each code and type in the table."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|]+) \| \w+ \| [^|]+\|$", DOCUMENT.read_text(), re.MULTILINE)
    found = {(code, kind): frozenset(map(int, re.findall(r"\d{3}", statuses))) for code, kind, statuses in rows}
    assert len(found) == len(rows), "a code of one type stands there twice"
    return found


@pytest.mark.parametrize(("code", "kind", "status"), sorted(set(raised())))
def test_a_code_is_documented_with_its_type_and_status(code: str, kind: str, status: int) -> None:
    there = documented().get((code, kind))
    assert there is not None, f"{code} of type {kind} is not in {DOCUMENT.name}"
    assert not status or not there or status in there


def test_no_code_is_documented_that_is_never_given() -> None:
    assert {code for code, _ in documented()} == {code for code, _, _ in raised()}


def test_our_own_gateway_errors_are_the_providers() -> None:
    for one in classes().values():
        assert (one.status in (502, 504)) == (one.type == "provider_error"), one.__name__


def test_an_error_of_the_client_has_a_code() -> None:
    assert all(one.code for one in classes().values())
