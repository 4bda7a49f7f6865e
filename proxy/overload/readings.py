"""What the process takes up, read from the kernel: memory and descriptors, each as a share of its bound.

Where the kernel does not tell (there is no /proc), the share is 0. A reading never fails: running out of what is read
is the very time to read it.
"""

import errno
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

_OPEN = "/proc/self/fd"
_MEMORY = "/proc/self/statm"
_VERSION_1 = ("sys/fs/cgroup/memory", "memory.limit_in_bytes")


class Readings:
    """The readings of this process, from `open` to `close`."""

    def __init__(self) -> None:
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._statm: int | None = None

    def open(self) -> None:
        """Open what stays open: a full table of descriptors must not hide how full the memory is."""
        if os.path.exists(_MEMORY):
            self._statm = os.open(_MEMORY, os.O_RDONLY | os.O_CLOEXEC)

    def resident(self) -> int:
        """Bytes of memory that the process holds."""
        if self._statm is None:
            return 0
        return int(os.pread(self._statm, 128, 0).split()[1]) * self._page

    def descriptors(self) -> tuple[int, int]:
        """How many descriptors are open, and how many may be; (0, 1) where that is not known."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return 0, 1
        try:
            # Kernels from 6.2 on tell the number; before, the size is 0 and the entries must be counted.
            count = os.stat(_OPEN).st_size or len(os.listdir(_OPEN))
        except FileNotFoundError:
            return 0, 1
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            count = limit
        return count, limit

    def lowest_free(self) -> int:
        """The number that the next descriptor gets; all below it are open. 0 where that is not known."""
        if self._statm is None:
            return 0
        try:
            number = os.dup(self._statm)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            return sys.maxsize
        os.close(number)
        return number

    def close(self) -> None:
        """Let go of what is kept open."""
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None


def memory_bound(workers: int, root: Path = Path("/")) -> int:
    """Bytes of memory for each of `workers` processes: an equal part of nine tenths of what the control group, or the
    machine, has."""
    bounds = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    bounds += [int(text) for file in _group_files(root) if (text := _read(file)).isdecimal()]
    return min(bounds) * 9 // 10 // workers


def spool_bound(workers: int) -> int:
    """Bytes of temporary files for each of `workers` processes: an equal part of a quarter of what is free."""
    try:
        return shutil.disk_usage(tempfile.gettempdir()).free // 4 // workers
    except OSError:
        # There is no place for any.
        return 0


def _group_files(root: Path) -> list[Path]:
    """The files that may bound the memory of this process's control group, of version 2 and of version 1."""
    files: list[Path] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        base, name = ("sys/fs/cgroup", "memory.max") if not kinds else _VERSION_1
        place = Path(path.lstrip("/"))
        # A bound may stand higher up; in a container the group's own path may not be visible, but its root is.
        files += [root / base / part / name for part in (place, *place.parents)]
    return files


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
