"""What `make wheel` compiles can be compiled, as far as that is known without a C compiler; the rest: test-compiled."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, compiled_patterns, is_compiled, modules_of_proxy

_TRANSLATE = """
import sys
from mypyc.build import mypycify
mypycify(sys.argv[2:], target_dir=sys.argv[1])
"""


def compiled_files() -> list[str]:
    """The files that setup.py names, but for those that it leaves out."""
    patterns = compiled_patterns()
    assert all(list(ROOT.glob(pattern)) for pattern in patterns), "a name in setup.py names no file"
    return [module.path for module in modules_of_proxy() if is_compiled(module, patterns)]


def inner_functions(tree: ast.AST) -> Iterator[ast.AST]:
    """Functions that are made while another one runs."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for outer in ast.walk(tree):
        if isinstance(outer, functions):
            for statement in outer.body:
                yield from (node for node in ast.walk(statement) if isinstance(node, (*functions, ast.Lambda)))


def test_the_compiler_takes_the_files_as_they_are(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _TRANSLATE, str(tmp_path), *compiled_files()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", compiled_files())
def test_no_function_is_made_inside_another(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    assert [getattr(node, "lineno", 0) for node in inner_functions(tree)] == []


def untyped_tuples_of_floats(tree: ast.Module) -> Iterator[ast.AST]:
    """Constants whose value the compiled module takes for one that is not set."""
    for node in tree.body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.annotation, ast.Name)
            and isinstance(node.value, ast.Tuple)
        ):
            first = node.value.elts[0] if node.value.elts else None
            if isinstance(first, ast.Constant) and isinstance(first.value, float):
                yield node


@pytest.mark.parametrize("file", compiled_files())
def test_a_constant_tuple_of_floats_says_its_type(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    assert [getattr(node, "lineno", 0) for node in untyped_tuples_of_floats(tree)] == []


def waits_in_handlers(tree: ast.AST) -> Iterator[ast.AST]:
    """Places inside an `except` at which other code runs."""
    for handler in ast.walk(tree):
        if isinstance(handler, ast.ExceptHandler):
            yield from (node for node in ast.walk(handler) if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom))


@pytest.mark.parametrize("file", compiled_files())
def test_nothing_is_awaited_inside_an_except(file: str) -> None:
    """Compiled, whatever runs meanwhile has the error for its own errors' context."""
    tree = ast.parse((ROOT / file).read_text())
    assert [getattr(node, "lineno", 0) for node in waits_in_handlers(tree)] == []


def test_a_wait_inside_an_except_is_found() -> None:
    source = "async def f():\n    try:\n        g()\n    except E:\n        if a:\n            await b"
    assert len(list(waits_in_handlers(ast.parse(source)))) == 1


def test_an_inner_function_is_found() -> None:
    found = inner_functions(ast.parse("def outer():\n    return [lambda: 1]"))
    assert [type(node) for node in found] == [ast.Lambda]
