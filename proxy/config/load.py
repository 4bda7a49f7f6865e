"""Reads a configuration file into the tree, or says everything that is wrong with it in one run.

The environment is an argument, so that two configurations can be read side by side. Nothing is printed, and no message
holds a resolved value.
"""

import os
import re
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from proxy.config import toml_positions
from proxy.config.problems import ConfigProblems, Problem, in_file_order
from proxy.config.references import References
from proxy.config.resolve import Sections
from proxy.config.tree import Config
from proxy.config.typecheck import prune
from proxy.config.warnings import warnings

_LARGEST_FILE = 4 * 1024 * 1024
#: A file that was written in the last so many seconds may not be whole yet: it must be the same twice, so far apart.
FRESH_SECONDS = 1.0
SETTLE_SECONDS = 0.1
#: Times that it is read before it counts as being written.
SETTLE_READS = 8


class Loaded(msgspec.Struct, frozen=True):
    """A configuration that can be used, and what is odd about it."""

    config: Config
    warnings: tuple[Problem, ...]
    #: Puts the references into a message about upstreams, in the place of what they stand for.
    hide: Callable[[str], str] = str


def load(path: Path, environment: Mapping[str, str] | None) -> Config:
    """Read the TOML file at `path`; ${NAME} in it stands for a variable of `environment`.

    The credentials in the result are resolved. Without an environment references stay as they are written, and what
    they lead to is not checked: enough for all but the upstreams.

    Raises ConfigProblems, a ConfigFault, with every fault of the file.
    """
    return parse(read_text(path), path, environment)


def parse(text: str, path: Path, environment: Mapping[str, str] | None) -> Config:
    """Like `load`, of a text already read; `path` names it in messages and is where relative files are looked for."""
    return _parse(text, path, None if environment is None else _references(environment, path))[0]


def examine(path: Path, environment: Mapping[str, str]) -> Loaded:
    """Like `load`, and with the warnings, in the order of the file."""
    return examine_text(read_text(path), path, environment)


def examine_text(text: str, path: Path, environment: Mapping[str, str]) -> Loaded:
    """Like `examine`, of a text already read."""
    references = _references(environment, path)
    config, places = _parse(text, path, references)
    found = [_problem(path, places, key, message, hint, references) for key, message, hint in warnings(config)]
    return Loaded(config, tuple(in_file_order(found)), references.hide)


def _references(environment: Mapping[str, str], path: Path) -> References:
    return References(environment, path.absolute().parent)


def _problem(
    path: Path,
    places: Mapping[toml_positions.Path, int],
    key: toml_positions.Path,
    message: str,
    hint: str,
    references: References | None,
) -> Problem:
    """What is wrong or odd at a key; an upstream's own values are shown as they are written."""
    if references is not None and key[:1] == ("upstreams",):
        message, hint = references.hide(message), references.hide(hint)
    return Problem(str(path), toml_positions.nearest(places, key), toml_positions.dotted(key), message, hint)


def _parse(text: str, path: Path, references: References | None) -> tuple[Config, Mapping[toml_positions.Path, int]]:
    document, places = _document(text, path)
    problems: list[Problem] = []

    def tell(key: toml_positions.Path, message: str, hint: str) -> None:
        problems.append(_problem(path, places, key, message, hint, references))

    values = prune(Config, document, tell)
    Sections(document, references, tell).check(values)
    if problems:
        raise ConfigProblems(problems)
    try:
        return msgspec.convert(values, Config), places
    except msgspec.ValidationError as error:
        raise ConfigProblems([Problem(str(path), None, "", str(error))]) from error


def read_settled(path: Path) -> str:
    """Read the file once nobody writes it any more, which takes a moment where it was just written.

    Raises ConfigProblems, also for one that is written all the time.
    """
    before: tuple[os.stat_result, bytes] | None = None
    for _ in range(SETTLE_READS):
        state, content = _content(path)
        is_fresh = (
            abs(time.time() - state.st_mtime) < FRESH_SECONDS or abs(time.time() - state.st_ctime) < FRESH_SECONDS
        )
        # What came between the two looks of one reading shows in the next.
        if _is_same(state, path) and (
            not is_fresh or (before is not None and _is_same(before[0], path) and before[1] == content)
        ):
            return _text(path, content)
        before = state, content
        time.sleep(SETTLE_SECONDS)
    hint = "write another file and rename it to this one; then reload"
    raise ConfigProblems([Problem(str(path), None, "", "is being written", hint)])


def _is_same(state: os.stat_result, path: Path) -> bool:
    """Whether the name still leads to the file as it was."""
    try:
        now = path.stat()
    except OSError:
        return False
    return all(
        getattr(state, name) == getattr(now, name)
        for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    )


def read_text(path: Path) -> str:
    """Read the file as it is. Raises ConfigProblems."""
    return _text(path, _content(path)[1])


def _content(path: Path) -> tuple[os.stat_result, bytes]:
    """The file as it was before it was read, and what was read."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()), file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        hint = "name another with --config, or write one with: prometheus-gateway init"
        raise ConfigProblems([Problem(str(path), None, "", f"cannot be read: {why}", hint)]) from error


def _text(path: Path, content: bytes) -> str:
    if len(content) > _LARGEST_FILE:
        raise ConfigProblems([Problem(str(path), None, "", "is larger than 4 MiB", "is this the right file?")])
    try:
        # Some editors put a byte order mark in front, which TOML does not know.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigProblems([Problem(str(path), line, "", "is no UTF-8 text", "save it as UTF-8")]) from error


def _document(text: str, path: Path) -> tuple[dict[str, Any], Mapping[toml_positions.Path, int]]:
    try:
        return tomllib.loads(text), toml_positions.locate(text)
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
