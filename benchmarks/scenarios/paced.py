"""400, 2,000 and 5,000 streams at once, each with an event now and then: the CPU time of one relayed chunk, and
whether any is late.

The streams open on a schedule, on connections that a shorter pass of the same has warmed on both sides of the system.
All of them together send 20,000 or 10,000 events a second, which upstream and load generator bear on one core.
"""

from benchmarks.scenarios.base import Scenario

PACED_400 = Scenario(
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

PACED_2000 = Scenario(
    name="paced-2000",
    about="2,000 streams, an event each 200 ms, open loop: CPU per chunk",
    script="bench-paced-15-200",
    unit="chunk",
    events=15,
    interval_ms=200.0,
    connections=2000,
    seconds=1.0,
    rate=2000.0,
    requests=2000,
    warmup=2000,
    warmup_script="bench-paced-2-200",
    quick=0.25,
    isolated=True,
    rounds=0.4,
)

PACED_5000 = Scenario(
    name="paced-5000",
    about="5,000 streams, an event each 500 ms, open loop, all new: memory per stream",
    script="bench-paced-10-500",
    unit="chunk",
    events=10,
    interval_ms=500.0,
    connections=5000,
    seconds=2.5,
    rate=2000.0,
    requests=5000,
    warmup=20,
    warmup_script="bench-paced-2-500",
    warm_connections=1,
    quick=0.2,
    fresh=True,
    memory=True,
    rounds=0.3,
)
