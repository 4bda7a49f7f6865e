"""Streams of 20 chunks without a pause: the CPU time of a whole stream where nothing waits in between.

In one write, the chunks share each system's reads and writes, and what is left is the work on the bytes. In a write
each, as a model that is faster than its reader sends them, the system calls count too.
"""

from benchmarks.scenarios.base import Scenario

BURST_CPU = Scenario(
    name="burst-cpu",
    about="8 connections, 20 chunks in one write: CPU per stream",
    script="bench-burst-20",
    unit="stream",
    events=20,
    connections=8,
    rounds=0.45,
)

EACH_CPU = Scenario(
    name="each-cpu",
    about="8 connections, 20 chunks in a write each: CPU per stream",
    script="bench-each-20",
    unit="stream",
    events=20,
    connections=8,
)
