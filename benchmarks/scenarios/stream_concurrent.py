"""8, 32 and 256 connections, each sending its next stream when the last has ended: the ceiling, and the wait there.

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
    rounds=0.45,
)

STREAM_32 = Scenario(
    name="stream-32",
    about="32 connections, 3-event streams, closed loop: ceiling",
    script="bench-first",
    unit="stream",
    events=3,
    connections=32,
    rounds=0.45,
)

STREAM_256 = Scenario(
    name="stream-256",
    about="256 connections, 3-event streams, closed loop: ceiling, and that nothing breaks",
    script="bench-first",
    unit="stream",
    events=3,
    connections=256,
    rounds=0.45,
    warmup=512,
)
