"""Freed memory that is kept: measured by the page faults of a process of its own."""

import subprocess
import sys

import pytest

from proxy.server.memory import keep_freed

_FAULTS = """
import os, resource, sys
from proxy.server.memory import keep_freed

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        block = b"x" * (5 << 20)
        copy = block + b"y"
        del block, copy
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

told = keep_freed({} if sys.argv[1] == "told" else {"MALLOC_ARENA_MAX": "2"})
faults(2)
print(told, faults(20))
"""


def _run(how: str) -> tuple[bool, int]:
    command = [sys.executable, "-c", _FAULTS, how]
    told, faults = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return told == "True", int(faults)


def test_large_blocks_are_used_again_without_new_pages() -> None:
    told, faults = _run("told")
    if not told:
        pytest.skip("another C library")
    # Two blocks of 1,280 pages in each of 20 rounds, if each came anew.
    assert faults < 2_000


def test_what_the_environment_says_of_the_allocator_holds() -> None:
    told, _ = _run("not")
    assert not told
    assert not keep_freed({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1"})
