"""The processes of a load: started from a module, looked at through /proc, ended for certain.

Linux only. It knows no HTTP, and nothing of what the processes do.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

#: Seconds that a process gets to say that it is ready, and to end.
PATIENCE = 60.0
#: Where the module is found, whatever the folder that the process runs in.
_ROOT = Path(__file__).parent.parent.parent
_PR_SET_PDEATHSIG = 1
_PAGE = resource.getpagesize()


class Process:
    """`python -m MODULE …` for the length of a `with`. What it says on stderr is kept in a file of
    its folder.

    It must print one line that begins with `Ready: `; `ready` is the rest of that line. It gets SIGTERM when this
    process dies, however it dies.
    """

    def __init__(self, folder: Path, module: str, arguments: Sequence[str] = (), *, talks: bool = False) -> None:
        """`talks`: each further line of its stdout is an answer to a line that `ask` sends; else it is read away."""
        self._command = [sys.executable, "-m", module, *arguments]
        self._folder = folder
        self._talks = talks
        self._log = folder / f"{module.rpartition('.')[2]}.stderr"
        self.ready = ""

    def __enter__(self) -> Self:
        library = ctypes.CDLL(None)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                stdin=subprocess.PIPE if self._talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=lambda: library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        for line in self._output:
            if line.startswith(b"Ready: "):
                self.ready = line.partition(b" ")[2].decode().strip()
                break
        else:
            self.__exit__()
            raise AssertionError(f"{self._command} did not come up: {self.said()[-2_000:]}")
        if not self._talks:
            self._reader = threading.Thread(target=self._read_away, name="reader", daemon=True)
            self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def end(self) -> int:
        """End it by SIGTERM, after PATIENCE by force; its exit status."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
        status = self._process.wait()
        if self.ready and not self._talks:
            self._reader.join()
        return status

    def ask(self, line: str) -> str:
        """Send a line and wait for the line that answers it."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return self._output.readline().decode()

    @property
    def port(self) -> int:
        """The port of the URL that it said it is ready at."""
        return int(self.ready.rpartition(":")[2])

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def said(self) -> str:
        """What it wrote on stderr so far."""
        return self._log.read_text(errors="replace")

    def resident_bytes(self) -> int:
        """Resident memory of it and its descendants; pages that they share count for each."""
        return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) * _PAGE for one in self._family())

    def descriptors(self) -> int:
        """Descriptors that it and its descendants have open."""
        return sum(len(os.listdir(f"/proc/{one}/fd")) for one in self._family())

    def _family(self) -> list[int]:
        found = [self._process.pid]
        for parent in found:
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
        return found

    def _read_away(self) -> None:
        # Unbuffered: the access lines of a load are many megabytes.
        while os.read(self._output.fileno(), 1 << 20):
            pass


def raise_descriptor_limit() -> int:
    """Allow this process, and those that it starts, as many descriptors as it may have; that number."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
