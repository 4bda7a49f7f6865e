"""100 new streams at the same moment: the wait of the last of them.

Warm, the system has connections to the upstream left from earlier streams; cold, it has carried one request since its
start and must open nearly all of them. The clients' connections are open both times. Times count from the moment at
which all were meant to start, so the generator's own writing is in them; `direct` shows how much that is.
"""

from benchmarks.scenarios.base import Scenario

BURST_WARM = Scenario(
    name="burst-warm",
    about="100 new streams at once, ten times, warm pool: time to first token",
    script="bench-first",
    unit="stream",
    events=3,
    connections=100,
    seconds=1.0,
    rate=1000.0,
    burst=100,
    warmup=200,
    warmup_script="bench-paced-3-20",
    isolated=True,
    quick=0.5,
)

BURST_COLD = Scenario(
    name="burst-cold",
    about="100 new streams at once, on a system just started: time to first token",
    script="bench-first",
    unit="stream",
    events=3,
    connections=100,
    seconds=0.1,
    rate=1000.0,
    burst=100,
    requests=100,
    warmup=20,
    warm_connections=1,
    isolated=True,
    fresh=True,
    quick=1.0,
    rounds=0.7,
)
