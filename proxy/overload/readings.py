"""Reads memory and file descriptors of the process, and their limits, from the kernel.

Where the kernel does not report them (there is no /proc), the result is 0. A reading never fails: it is needed most
when they run out.
"""

import errno
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

_DESCRIPTORS = "/proc/self/fd"
_MEMORY = "/proc/self/statm"
#: One part in so many of the free disk space is for temporary files.
_SPOOL_PART = 4
_CGROUP_V1 = ("sys/fs/cgroup/memory", "memory.limit_in_bytes")


class Readings:
    """Reads this process, from `open` to `close`."""

    def __init__(self) -> None:
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._statm: int | None = None

    def open(self) -> None:
        """Open a descriptor for reading the memory, so that it can be read when no descriptor is free."""
        if os.path.exists(_MEMORY):
            self._statm = os.open(_MEMORY, os.O_RDONLY | os.O_CLOEXEC)

    def resident(self) -> int:
        """Resident memory in bytes."""
        if self._statm is None:
            return 0
        return int(os.pread(self._statm, 128, 0).split()[1]) * self._page_bytes

    def descriptors(self) -> tuple[int, int]:
        """The number of open descriptors and their limit; (0, 1) where that is not known."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return 0, 1
        try:
            # Kernels from 6.2 on give the number as size; before, it is 0 and the entries must be counted.
            count = os.stat(_DESCRIPTORS).st_size or len(os.listdir(_DESCRIPTORS))
        except FileNotFoundError:
            return 0, 1
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            count = limit
        return count, limit

    def lowest_free(self) -> int:
        """The number of the next descriptor; all below it are open. 0 where that is not known."""
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
        """Close the descriptor for the memory."""
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None


def memory_limit(workers: int, root: Path = Path("/")) -> int:
    """Bytes of memory for each of `workers` processes: an equal part of nine tenths of what the control group, or the
    machine, has."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    limits += [int(text) for file in _group_files(root) if (text := _read(file)).isdecimal()]
    return min(limits) * 9 // 10 // workers


def spool_limit(workers: int) -> int:
    """Bytes of temporary files for each of `workers` processes: an equal part of a quarter of the free disk space."""
    try:
        return shutil.disk_usage(tempfile.gettempdir()).free // _SPOOL_PART // workers
    except OSError:
        # There is no directory for temporary files.
        return 0


def _group_files(root: Path) -> list[Path]:
    """The files with the memory limits of this process's control group, of version 2 and of version 1."""
    files: list[Path] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        base, name = ("sys/fs/cgroup", "memory.max") if not kinds else _CGROUP_V1
        place = Path(path.lstrip("/"))
        # A parent group may have a limit; in a container the group's own path may not be visible, but its root is.
        files += [root / base / part / name for part in (place, *place.parents)]
    return files


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
