"""400 streams at once, each with an event every 20 ms: the CPU time of one relayed chunk, and whether any is late.

The streams open over 200 ms, on connections that a shorter pass of the same has warmed on both sides of the system.
"""

from benchmarks.scenarios.base import Scenario

PACED = Scenario(
    name="paced-400",
    about="400 streams, an event each 20 ms, open loop: CPU per chunk",
    script="bench-paced-50-20",
    unit="chunk",
    events=50,
    interval_ms=20.0,
    connections=400,
    seconds=0.2,
    rate=2000.0,
    requests=400,
    warmup=400,
    warmup_script="bench-paced-10-20",
    quick=0.25,
    isolated=True,
)
