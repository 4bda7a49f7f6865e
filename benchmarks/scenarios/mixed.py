"""Small streams beside large uploads: how long a short question waits behind another client's long prompt.

The uploads are 1 MiB each, forty a second, over four connections of their own, sent by a generator of their own; the
figures are those of the small streams alone.
"""

from benchmarks.scenarios.base import Scenario

_UPLOADS = Scenario(
    name="uploads",
    about="1 MiB prompts, 40 a second",
    script="bench-json",
    unit="request",
    stream=False,
    body_bytes=1024 * 1024,
    connections=4,
    seconds=2.0,
    rate=40.0,
    warmup=8,
)

MIXED = Scenario(
    name="mixed",
    about="300 small streams a second beside forty uploads of 1 MiB a second, open loop",
    script="bench-first",
    unit="stream",
    events=3,
    connections=32,
    seconds=1.0,
    rate=300.0,
    isolated=True,
    beside=_UPLOADS,
    rounds=0.7,
    quick=0.5,
)
