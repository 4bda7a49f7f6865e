"""Child processes of a run: started on one core, always terminated, with their CPU time and memory.

Linux only: it pins processes and reads the scheduler's own figures. No HTTP and no knowledge of the systems here.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

ROOT = Path(__file__).resolve().parent.parent
#: Seconds that a child gets to end by itself.
PATIENCE = 10.0
_PR_SET_PDEATHSIG = 1
_POLL = 0.02
_LOG_TAIL = 2_000


class BenchmarkFailed(Exception):
    """The run cannot go on; the message says why and how to mend it."""


class Child:
    """One process, pinned to `core`, with its stdout and stderr in a file. Use it in a `with`.

    It gets SIGTERM when this process dies, however it dies. Its own children are counted with it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int,
        log: Path,
        talks: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = list(command)
        self.core = core
        self.log = log
        #: Whether stdin and stdout are pipes to this process instead.
        self._talks = talks
        self._environment = {**os.environ, **(environment or {})}

    def __enter__(self) -> Self:
        library = ctypes.CDLL(None)
        core = self.core

        def before_start() -> None:
            library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            os.sched_setaffinity(0, {core})

        with self.log.open("ab") as log:
            try:
                self.process = subprocess.Popen(
                    self.command,
                    cwd=ROOT,
                    stdin=subprocess.PIPE if self._talks else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if self._talks else log,
                    stderr=log,
                    text=True,
                    env=self._environment,
                    preexec_fn=before_start,
                )
            except OSError as error:
                raise BenchmarkFailed(f"{self.command[0]} does not start: {error}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                _close(pipe)

    def said(self) -> str:
        """What it has written to its log so far."""
        return self.log.read_text(errors="replace")

    def failure(self, what: str) -> BenchmarkFailed:
        """An error that shows the end of the log."""
        return BenchmarkFailed(f"{what}\n  command: {' '.join(self.command)}\n{self.said()[-_LOG_TAIL:]}")

    def wait_until_listening(self, port: int, seconds: float = 15.0) -> None:
        """Return when the port accepts connections; raises BenchmarkFailed when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise self.failure(f"it ended with status {self.process.returncode} before it listened")
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return
            except OSError:
                time.sleep(_POLL)
        raise self.failure(f"it does not listen on port {port} after {seconds} s")

    def cpu_nanoseconds(self) -> int:
        """CPU time used so far by it and its living descendants, from the scheduler's clock.

        This is the clock behind /proc/PID/schedstat, for the whole process: threads that have ended count too.
        """
        return sum(_process_clock(identifier) for identifier in self.family())

    def resident_bytes(self) -> int:
        """Resident memory of it and its living descendants; pages that they share count once for each sharer."""
        return sum(_resident(identifier) for identifier in self.family())

    def family(self) -> list[int]:
        """The process ids of it and its living descendants."""
        found = [self.process.pid]
        for parent in found:
            for task in _listing(Path(f"/proc/{parent}/task")):
                found += [int(child) for child in _text(task / "children").split()]
        return found


def all_clocks() -> dict[int, int]:
    """CPU nanoseconds so far of each process of the machine, kernel threads included."""
    return {
        int(entry.name): _process_clock(int(entry.name)) for entry in _listing(Path("/proc")) if entry.name.isdigit()
    }


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _close(pipe: IO[str]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        # The child ended before it read all; its exit status says why.
        return


def _process_clock(identifier: int) -> int:
    # The kernel's number for "CPU clock of this whole process, by the scheduler".
    try:
        return time.clock_gettime_ns((~identifier << 3) | 2)
    except OSError:
        # It ended in between.
        return 0


def _resident(identifier: int) -> int:
    for line in _text(Path(f"/proc/{identifier}/smaps_rollup")).splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _listing(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
