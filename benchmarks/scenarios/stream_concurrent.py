"""8 and 32 connections, each sending its next stream when the last has ended: the ceiling, and the wait at the ceiling.

A closed loop at full load: its times show queueing, not what the gateway adds to a request on its own.
"""

from benchmarks.scenarios.base import Scenario

STREAM_8 = Scenario(
    name="stream-8",
    about="8 connections, 3-event streams, closed loop: ceiling",
    script="bench-first",
    unit="stream",
    events=3,
    connections=8,
    seconds=1.0,
)

STREAM_32 = Scenario(
    name="stream-32",
    about="32 connections, 3-event streams, closed loop: ceiling",
    script="bench-first",
    unit="stream",
    events=3,
    connections=32,
    seconds=1.0,
)
