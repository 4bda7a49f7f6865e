"""Reloading the configuration file of a running gateway, and the result that is logged and returned."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from proxy.config.changes import Changes
from proxy.config.load import Loaded, examine_text, read_settled, read_text
from proxy.config.problems import ConfigProblems, Problem
from proxy.config.tree import Config
from proxy.errors import ConfigFault, InvalidRequest

#: The command on the control socket.
RELOAD_COMMAND = "reload"
_log = logging.getLogger(__name__)


class ReloadResult(msgspec.Struct, frozen=True):
    """The result of one reload; the JSON that `config reload --json` prints."""

    ok: bool
    #: The file, or "" where the gateway has none.
    file: str
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    changes: Changes = Changes()

    def __str__(self) -> str:
        if self.ok:
            return f"{self.file}: applied; {self.changes}"
        heading = f"{self.file or 'the configuration'}: not applied, the configuration in force stays:"
        return "\n".join([heading, *(str(problem) for problem in self.problems)])


class ConfigSource:
    """The file that a gateway was started with, and the overrides of its command line."""

    def __init__(self, path: Path, overrides: dict[str, Any]) -> None:
        # Absolute: the file must be found again if the working directory changes.
        self.path = path.absolute()
        self._overrides = overrides
        #: The text that was read last, the one in force, and whether that has aliases.
        self._read = self._in_force = ""
        self._has_aliases = False

    def read(self) -> Loaded:
        """Read it as it is now, with the secrets it refers to, for the start. Raises ConfigProblems."""
        return self._loaded(read_text(self.path))

    def read_for_reload(self) -> Loaded:
        """Read it for a reload, in which a file that looks incomplete is a fault.

        May block for a moment. Raises ConfigProblems.
        """
        text = read_settled(self.path)
        if not text.strip():
            raise self._fault("is empty", "")
        if len(text) < len(self._in_force) and self._in_force.startswith(text):
            hint = "if nothing is missing, write a line of its own at the end, such as: # end"
            raise self._fault("ends where the one in force goes on, as if it had been cut off", hint)
        loaded = self._loaded(text)
        if self._has_aliases and not loaded.config.models:
            raise self._fault("has no aliases any more", "to serve none, start the gateway anew")
        return loaded

    def applied(self, config: Config) -> None:
        """What was read last is in force from now on."""
        self._in_force = self._read
        self._has_aliases = bool(config.models)

    def _loaded(self, text: str) -> Loaded:
        self._read = text
        loaded = examine_text(text, self.path, os.environ)
        return msgspec.structs.replace(loaded, config=overridden(loaded.config, self._overrides))

    def _fault(self, message: str, hint: str) -> ConfigProblems:
        return ConfigProblems([Problem(str(self.path), None, "", message, hint)])


def overridden(config: Config, overrides: dict[str, Any]) -> Config:
    """A configuration with some settings of `[server]` replaced."""
    return msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, **overrides))


def failed_result(file: Path, fault: ConfigFault) -> ReloadResult:
    """The result of a reload that found a fault."""
    if isinstance(fault, ConfigProblems):
        return ReloadResult(False, str(file), tuple(fault.problems))
    return ReloadResult(False, str(file), (Problem(str(file), None, "", fault.message),))


def no_file_result() -> ReloadResult:
    """The result where there is no file to read."""
    what = "the gateway runs without a configuration file, as the demo does"
    hint = "end it, write a file with: prometheus-gateway init, and start it again, with --config FILE for another name"
    return ReloadResult(False, "", (Problem("", None, "", what, hint),))


def as_data(result: ReloadResult) -> Mapping[str, Any]:
    """The result in plain types. Raises `InvalidRequest` for that of a gateway without a file."""
    if not result.ok and not result.file:
        raise InvalidRequest(str(result.problems[0]), status=409, code="no_config_file")
    data: Mapping[str, Any] = msgspec.to_builtins(result)
    return data


def log_result(result: ReloadResult) -> None:
    """Log the result of a reload."""
    if result.ok:
        for warning in result.warnings:
            _log.warning("%s", warning)
        _log.info("%s", result)
    else:
        _log.error("%s", result)


class Reloader:
    """Reloads on an event loop, one after the other: each reads the file after it was requested."""

    def __init__(self, source: ConfigSource, apply: Callable[[Config], Awaitable[Changes]]) -> None:
        """`apply` may raise ConfigFault."""
        self._source = source
        self._apply = apply
        self._lock = asyncio.Lock()
        #: A signal has requested a reload that has not begun.
        self._is_requested = False
        self._tasks: set[asyncio.Task[None]] = set()

    def reload_on_signal(self, then: Callable[[], None]) -> None:
        """Reload, unless such a reload waits already; `then` is called after it."""
        if not self._is_requested:
            self._is_requested = True
            task = asyncio.create_task(self._by_signal(then), name="reload")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def reload(self) -> ReloadResult:
        """Read the file and apply it, or say why not."""
        async with self._lock:
            return await self._reload()

    async def _by_signal(self, then: Callable[[], None]) -> None:
        async with self._lock:
            self._is_requested = False
            try:
                await self._reload()
            finally:
                then()

    async def _reload(self) -> ReloadResult:
        try:
            loaded = await asyncio.to_thread(self._source.read_for_reload)
            result = ReloadResult(True, str(self._source.path), (), loaded.warnings, await self._apply(loaded.config))
            self._source.applied(loaded.config)
        except ConfigFault as fault:
            result = failed_result(self._source.path, fault)
        log_result(result)
        return result
