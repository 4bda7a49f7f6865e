"""Reading the configuration file again, for a gateway that runs: what came of it, and how that is told."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from proxy.config.changes import Changes
from proxy.config.load import Loaded, examine_text, read_settled, read_text
from proxy.config.problems import ConfigProblems, Problem
from proxy.config.tree import Config
from proxy.errors import ConfigFault

#: What the control socket is asked for.
ORDER = "reload"
_log = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True):
    """What came of one reload; the JSON that `config reload --json` prints."""

    ok: bool
    #: The file, or "" where the gateway has none.
    file: str
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    changes: Changes = Changes()

    def __str__(self) -> str:
        if self.ok:
            return f"{self.file}: taken; {self.changes}"
        heading = f"{self.file or 'the configuration'}: not taken, what was in force goes on:"
        return "\n".join([heading, *(str(problem) for problem in self.problems)])


class Source:
    """The file that a gateway was started with, and what its command line put over it."""

    def __init__(self, path: Path, over: dict[str, Any]) -> None:
        # Absolute: the file must be found again whatever becomes of the working directory.
        self.path = path.absolute()
        self._over = over
        #: The text that was read last, the one in force, and whether that has aliases.
        self._read = self._in_force = ""
        self._has_aliases = False

    def read(self) -> Loaded:
        """Read it as it is now, with the secrets it refers to, for the start. Raises ConfigProblems."""
        return self._loaded(read_text(self.path))

    def read_again(self) -> Loaded:
        """The same for a reload: what looks like a file that is not whole is a fault, and what is in force stays.

        May wait for a moment. Raises ConfigProblems.
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

    def taken(self, config: Config) -> None:
        """What was read last is in force from now on."""
        self._in_force = self._read
        self._has_aliases = bool(config.models)

    def _loaded(self, text: str) -> Loaded:
        self._read = text
        loaded = examine_text(text, self.path, os.environ)
        return msgspec.structs.replace(loaded, config=overridden(loaded.config, self._over))

    def _fault(self, message: str, hint: str) -> ConfigProblems:
        return ConfigProblems([Problem(str(self.path), None, "", message, hint)])


def overridden(config: Config, over: dict[str, Any]) -> Config:
    """A configuration with some settings of `[server]` from elsewhere."""
    return msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, **over))


def failed(file: Path, fault: ConfigFault) -> Outcome:
    """The outcome of a reload that found a fault."""
    if isinstance(fault, ConfigProblems):
        return Outcome(False, str(file), tuple(fault.problems))
    return Outcome(False, str(file), (Problem(str(file), None, "", fault.message),))


def without_file() -> Outcome:
    """The outcome where there is nothing to read."""
    what = "the gateway runs without a configuration file, as the demo does"
    hint = "end it, write a file with: prometheus-gateway init, and start it again, with --config FILE for another name"
    return Outcome(False, "", (Problem("", None, "", what, hint),))


def tell(outcome: Outcome) -> None:
    """Say in the log what came of a reload."""
    if outcome.ok:
        for warning in outcome.warnings:
            _log.warning("%s", warning)
        _log.info("%s", outcome)
    else:
        _log.error("%s", outcome)


class Reloader:
    """Reloads on an event loop, one after the other: each reads the file after it was asked to."""

    def __init__(self, source: Source, take: Callable[[Config], Awaitable[Changes]]) -> None:
        """`take` may raise ConfigFault."""
        self._source = source
        self._take = take
        self._turn = asyncio.Lock()
        #: A signal has asked, and its turn has not come.
        self._asked = False
        self._tasks: set[asyncio.Task[None]] = set()

    def signalled(self, then: Callable[[], None]) -> None:
        """Reload, unless a signal has asked for that already and it has not begun; `then` is called after it."""
        if not self._asked:
            self._asked = True
            task = asyncio.create_task(self._by_signal(then), name="reload")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def reload(self) -> Outcome:
        """Read the file and take what it says, or say why not."""
        async with self._turn:
            return await self._reload()

    async def _by_signal(self, then: Callable[[], None]) -> None:
        async with self._turn:
            self._asked = False
            try:
                await self._reload()
            finally:
                then()

    async def _reload(self) -> Outcome:
        try:
            loaded = await asyncio.to_thread(self._source.read_again)
            outcome = Outcome(True, str(self._source.path), (), loaded.warnings, await self._take(loaded.config))
            self._source.taken(loaded.config)
        except ConfigFault as fault:
            outcome = failed(self._source.path, fault)
        tell(outcome)
        return outcome
