"""What is read from the kernel, and the bound of memory that control groups set."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.overload.readings import Readings, memory_limit

MIB = 1024 * 1024
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def readings() -> Iterator[Readings]:
    readings = Readings()
    readings.open()
    yield readings
    readings.close()


def test_memory_that_is_taken_is_seen(readings: Readings) -> None:
    before = readings.resident()
    taken = b"x" * (64 * MIB)
    assert readings.resident() - before > 48 * MIB
    del taken


def test_a_descriptor_more_is_seen(readings: Readings) -> None:
    before, limit = readings.descriptors()
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    try:
        assert readings.descriptors() == (before + 20, limit)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def test_what_was_not_opened_reads_as_nothing() -> None:
    assert Readings().resident() == 0


def group(root: Path, line: str, **bounds: str) -> Path:
    """A file system with one line in the process's list of groups, and bounds by the name of their folder."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"{line}\n")
    for folder, text in bounds.items():
        base, name = ("memory", "memory.limit_in_bytes") if ":memory:" in line else (".", "memory.max")
        place = root / "sys/fs/cgroup" / base / folder.strip("_").replace("__", "/")
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"{text}\n")
    return root


def test_the_bound_is_nine_tenths_of_the_group_s_for_all_workers_together(tmp_path: Path) -> None:
    root = group(tmp_path, "0::/service", service=str(100 * MIB))
    assert memory_limit(1, root) == 90 * MIB
    assert memory_limit(3, root) == 30 * MIB


def test_the_tightest_bound_above_counts(tmp_path: Path) -> None:
    root = group(tmp_path, "0::/pod/service", pod=str(50 * MIB), pod__service=str(100 * MIB))
    assert memory_limit(1, root) == 45 * MIB


def test_a_group_of_version_1_counts(tmp_path: Path) -> None:
    assert memory_limit(1, group(tmp_path, "4:memory:/service", service=str(100 * MIB))) == 90 * MIB


def test_without_a_bound_it_is_the_machine_s(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 9 // 10
    assert memory_limit(1, group(tmp_path, "0::/service", service="max")) == machine
    assert memory_limit(1, tmp_path / "nothing") == machine
