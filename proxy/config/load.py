"""Reads a configuration file into the tree, or says everything that is wrong with it in one run.

The environment is an argument, so that two configurations can be read side by side. Nothing is printed, and no message
holds a resolved value.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from proxy.config import lines
from proxy.config.problems import ConfigProblems, Problem, in_file_order
from proxy.config.references import References
from proxy.config.sections import Sections
from proxy.config.tree import Config
from proxy.config.walk import prune
from proxy.config.warnings import warnings

_LARGEST_FILE = 4 * 1024 * 1024


class Loaded(msgspec.Struct, frozen=True):
    """A configuration that can be used, and what is odd about it."""

    config: Config
    warnings: tuple[Problem, ...]


def load(path: Path, environment: Mapping[str, str] | None) -> Config:
    """Read the TOML file at `path`; ${NAME} in it stands for a variable of `environment`.

    The credentials in the result are resolved. Without an environment references stay as they are written, and what
    they lead to is not checked: enough for all but the upstreams.

    Raises ConfigProblems, a ConfigFault, with every fault of the file.
    """
    return parse(_read(path), path, environment)


def parse(text: str, path: Path, environment: Mapping[str, str] | None) -> Config:
    """Like `load`, of a text already read; `path` names it in messages and is where relative files are looked for."""
    return _parse(text, path, environment)[0]


def examine(path: Path, environment: Mapping[str, str]) -> Loaded:
    """Like `load`, and with the warnings, in the order of the file."""
    return examine_text(_read(path), path, environment)


def examine_text(text: str, path: Path, environment: Mapping[str, str]) -> Loaded:
    """Like `examine`, of a text already read."""
    config, places = _parse(text, path, environment)
    found = [
        Problem(str(path), lines.nearest(places, key), lines.dotted(key), message, hint)
        for key, message, hint in warnings(config)
    ]
    return Loaded(config, tuple(in_file_order(found)))


def _parse(text: str, path: Path, environment: Mapping[str, str] | None) -> tuple[Config, Mapping[lines.Path, int]]:
    document, places = _document(text, path)
    problems: list[Problem] = []

    def tell(key: lines.Path, message: str, hint: str) -> None:
        problems.append(Problem(str(path), lines.nearest(places, key), lines.dotted(key), message, hint))

    values = prune(Config, document, tell)
    references = None if environment is None else References(environment, path.absolute().parent)
    Sections(document, references, tell).check(values)
    if problems:
        raise ConfigProblems(problems)
    try:
        return msgspec.convert(values, Config), places
    except msgspec.ValidationError as error:
        raise ConfigProblems([Problem(str(path), None, "", str(error))]) from error


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        hint = "name another with --config, or write one with: prometheus-gateway init"
        raise ConfigProblems([Problem(str(path), None, "", f"cannot be read: {why}", hint)]) from error
    if len(content) > _LARGEST_FILE:
        raise ConfigProblems([Problem(str(path), None, "", "is larger than 4 MiB", "is this the right file?")])
    try:
        # Some editors put a byte order mark in front, which TOML does not know.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigProblems([Problem(str(path), line, "", "is no UTF-8 text", "save it as UTF-8")]) from error


def _document(text: str, path: Path) -> tuple[dict[str, Any], Mapping[lines.Path, int]]:
    try:
        return tomllib.loads(text), lines.locate(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigProblems([_syntax_problem(text, path, str(error))]) from error
    except RecursionError as error:
        raise ConfigProblems([Problem(str(path), None, "", "is nested too deeply")]) from error


def _syntax_problem(text: str, path: Path, message: str) -> Problem:
    """Take the place out of the library's message, which ends with it."""
    what, _, place = message.rpartition(" (at ")
    found = re.fullmatch(r"line (\d+), column (\d+)\)", place)
    if found:
        line, column = int(found[1]), f" at column {found[2]}"
    else:
        line, column = text.count("\n") + 1, " at the end of the file"
    return Problem(str(path), line, "", f"TOML syntax: {what or message}{column}")
