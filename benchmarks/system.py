"""What a system under test is, and what it is started in. Values only."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Child

#: The gateway of this folder, as it is written.
PLAIN = (sys.executable, "-m", "proxy")
#: Seconds in which a system must be ready.
START_LIMIT = 20.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a system is started in."""

    folder: Path
    upstream: Child
    upstream_port: int
    core: int
    #: Scripts of the upstream that will be asked for.
    scripts: Sequence[str]
    #: Keys and rows of the full store.
    full_store: tuple[int, int] = (0, 0)
    #: The command that is the gateway.
    gateway: tuple[str, ...] = PLAIN


@dataclass(frozen=True, slots=True)
class System:
    """A system that runs."""

    name: str
    port: int
    process: Child
    key: str = "none"
    model_prefix: str = ""
    #: One line for the results: what it is.
    version: str = ""


#: Starts a system, which ends with the stack. Raises BenchmarkFailed.
Start = Callable[[Surroundings, ExitStack], System]
