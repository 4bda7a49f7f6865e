"""What holds for all tests: how long hypothesis searches, where files are written, and that no test leaves a thread or
a process behind."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

# The machine's load must not fail a test, so nothing here depends on time; a run of the fast profile is repeatable.
settings.register_profile(
    "fast",
    derandomize=True,
    deadline=None,
    max_examples=50,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", deadline=None, max_examples=2_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

# Every gateway syncs its files some twenty times: in memory that takes no time. What a disk does is for `make power`.
_MEMORY = Path("/dev/shm")
_MIN_FREE_BYTES = 2 << 30
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MIN_FREE_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

_GRACE_SECONDS = 2.0
Thing = TypeVar("Thing")


def running_threads() -> set[threading.Thread]:
    """The threads that keep the interpreter from ending."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


def child_processes() -> set[int]:
    """The ids of our children, those that ended and were not waited for too; none where there is no /proc."""
    children: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            children |= {int(child) for child in task.read_text().split()}
        except OSError:
            # The thread has ended since it was listed; its children have another parent thread now.
            continue
    return children


def left_behind(before: set[Thing], now: Callable[[], set[Thing]], grace: float = _GRACE_SECONDS) -> set[Thing]:
    """What is there and was not before, after it had `grace` seconds to end."""
    deadline = time.monotonic() + grace
    while (left := now() - before) and time.monotonic() < deadline:
        time.sleep(0.005)
    return left


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    threads, processes = running_threads(), child_processes()
    yield
    stray_threads = left_behind(threads, running_threads)
    stray_processes = left_behind(processes, child_processes)
    for process in stray_processes:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    if stray_threads or stray_processes:
        names = sorted(thread.name for thread in stray_threads)
        pytest.fail(f"the test left behind: threads {names}, processes {sorted(stray_processes)} (now ended)")
