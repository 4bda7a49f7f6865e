"""Loads a configuration file into the tree, or raises an error with all of its faults.

The environment is an argument, so that two configurations can be loaded side by side. Nothing is printed, and no
message has a resolved value.
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
from proxy.config.interpolation import Interpolator
from proxy.config.problems import ConfigProblems, Problem, in_file_order
from proxy.config.resolve import Resolver
from proxy.config.tree import Config
from proxy.config.typecheck import prune
from proxy.config.warnings import warnings

_MAX_FILE_BYTES = 4 * 1024 * 1024
#: A file that was written less than FRESH_SECONDS ago may be incomplete: two reads, SETTLE_SECONDS apart, must agree.
FRESH_SECONDS = 1.0
SETTLE_SECONDS = 0.1
#: Reads after which the file counts as being written.
MAX_SETTLE_READS = 8


class Loaded(msgspec.Struct, frozen=True):
    """A valid configuration, and its warnings."""

    config: Config
    warnings: tuple[Problem, ...]
    #: Replaces resolved values in a message about upstreams by the ${NAME} that they come from.
    hide: Callable[[str], str] = str


def load(path: Path, environment: Mapping[str, str] | None) -> Config:
    """Load the TOML file at `path`; ${NAME} in it stands for a variable of `environment`.

    The result has resolved credentials. Without an environment, ${NAME} and file: stay as they are written and are not
    validated, which is enough for everything but upstreams.

    Raises ConfigProblems, a ConfigFault, with every fault of the file.
    """
    return parse(read_text(path), path, environment)


def parse(text: str, path: Path, environment: Mapping[str, str] | None) -> Config:
    """Like `load`, of a text already read; `path` names it in messages, and relative files are looked up beside it."""
    return _parse(text, path, None if environment is None else _interpolator(environment, path))[0]


def examine(path: Path, environment: Mapping[str, str]) -> Loaded:
    """Like `load`, with warnings in the order of the file."""
    return examine_text(read_text(path), path, environment)


def examine_text(text: str, path: Path, environment: Mapping[str, str]) -> Loaded:
    """Like `examine`, of a text already read."""
    interpolator = _interpolator(environment, path)
    config, positions = _parse(text, path, interpolator)
    found = [_problem(path, positions, key, message, hint, interpolator) for key, message, hint in warnings(config)]
    return Loaded(config, tuple(in_file_order(found)), interpolator.hide)


def _interpolator(environment: Mapping[str, str], path: Path) -> Interpolator:
    return Interpolator(environment, path.absolute().parent)


def _problem(
    path: Path,
    positions: Mapping[toml_positions.Path, int],
    key: toml_positions.Path,
    message: str,
    hint: str,
    interpolator: Interpolator | None,
) -> Problem:
    """The problem of a key; resolved values of upstreams are hidden in its message."""
    if interpolator is not None and key[:1] == ("upstreams",):
        message, hint = interpolator.hide(message), interpolator.hide(hint)
    return Problem(str(path), toml_positions.nearest(positions, key), toml_positions.dotted(key), message, hint)


def _parse(
    text: str, path: Path, interpolator: Interpolator | None
) -> tuple[Config, Mapping[toml_positions.Path, int]]:
    document, positions = _document(text, path)
    problems: list[Problem] = []

    def report(key: toml_positions.Path, message: str, hint: str) -> None:
        problems.append(_problem(path, positions, key, message, hint, interpolator))

    values = prune(Config, document, report)
    Resolver(document, interpolator, report).resolve(values)
    if problems:
        raise ConfigProblems(problems)
    try:
        return msgspec.convert(values, Config), positions
    except msgspec.ValidationError as error:
        raise ConfigProblems([Problem(str(path), None, "", str(error))]) from error


def read_settled(path: Path) -> str:
    """Read the file when it is completely written, which takes a moment if it was just changed; blocks.

    Raises ConfigProblems, also for a file that keeps changing.
    """
    before: tuple[os.stat_result, bytes] | None = None
    for _ in range(MAX_SETTLE_READS):
        state, content = _content(path)
        is_fresh = (
            abs(time.time() - state.st_mtime) < FRESH_SECONDS or abs(time.time() - state.st_ctime) < FRESH_SECONDS
        )
        # A change during one read is noticed by the next one.
        if _is_same(state, path) and (
            not is_fresh or (before is not None and _is_same(before[0], path) and before[1] == content)
        ):
            return _text(path, content)
        before = state, content
        time.sleep(SETTLE_SECONDS)
    hint = "write another file and rename it to this one; then reload"
    raise ConfigProblems([Problem(str(path), None, "", "is being written", hint)])


def _is_same(state: os.stat_result, path: Path) -> bool:
    """Whether the path still names the file in the same state."""
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
    """The state of the file before it was read, and its content."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()), file.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        hint = "name another with --config, or write one with: prometheus-gateway init"
        raise ConfigProblems([Problem(str(path), None, "", f"cannot be read: {why}", hint)]) from error


def _text(path: Path, content: bytes) -> str:
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigProblems([Problem(str(path), None, "", "is larger than 4 MiB", "is this the right file?")])
    try:
        # Some editors write a byte order mark, which is no valid TOML.
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
    """Take the position from the end of the library's message."""
    what, _, position = message.rpartition(" (at ")
    found = re.fullmatch(r"line (\d+), column (\d+)\)", position)
    if found:
        line, column = int(found[1]), f" at column {found[2]}"
    else:
        line, column = text.count("\n") + 1, " at the end of the file"
    return Problem(str(path), line, "", f"TOML syntax: {what or message}{column}")
