"""Freed memory that is kept: measured by the page faults of a process of its own."""

import subprocess
import sys

import pytest

from proxy.overload.malloc import give_back, keep_freed

_FAULTS = """
import os, resource, sys
from proxy.overload.malloc import keep_freed

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        block = b"x" * (5 << 20)
        copy = block + b"y"
        del block, copy
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed({} if sys.argv[1] == "keep" else {"MALLOC_ARENA_MAX": "2"})
faults(2)
print(kept, faults(20))
"""


def _run(how: str) -> tuple[bool, int]:
    command = [sys.executable, "-c", _FAULTS, how]
    kept, faults = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return kept == "True", int(faults)


def test_large_blocks_are_used_again_without_new_pages() -> None:
    kept, faults = _run("keep")
    if not kept:
        pytest.skip("another C library")
    # Two blocks of 1,280 pages in each of 20 rounds, if each came anew.
    assert faults < 2_000


def test_what_the_environment_says_of_the_allocator_holds() -> None:
    kept, _ = _run("not")
    assert not kept
    assert not keep_freed({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1"})


_SCATTERED = """
import os
from proxy.overload.malloc import give_back, keep_freed

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

keep_freed({})
# Between the large blocks small ones that stay: the heap has no free end.
blocks = [(b"x" * (256 << 10), b"y" * 2_000) for _ in range(400)]
full = resident()
stay = [small for _, small in blocks]
del blocks
before = resident()
give_back()
print(full - before, before - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux reports it")
def test_memory_that_is_free_between_what_is_used_is_given_back() -> None:
    command = [sys.executable, "-c", _SCATTERED]
    by_itself, asked = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    if by_itself > 50 << 20:
        pytest.skip("another C library")
    assert asked > 50 << 20


def test_giving_back_nothing_is_no_fault() -> None:
    give_back()
    give_back()
