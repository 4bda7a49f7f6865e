"""Requests of 1 KiB, 100 KiB, 1 MiB and 5 MiB, one at a time: what a long prompt adds to the time to first token.

Long prompts are what a gateway really works on: it must find the model's name in them, and send them on.
"""

from benchmarks.scenarios.base import Scenario

KIB = 1024
_SIZES = {"1k": KIB, "100k": 100 * KIB, "1m": 1024 * KIB, "5m": 5 * 1024 * KIB}

BODIES = tuple(
    Scenario(
        name=f"body-{name}",
        about=f"1 connection, request bodies of {size // KIB:,} KiB: time to first token",
        script="bench-first",
        unit="stream",
        events=3,
        body_bytes=size,
        warmup=20,
        isolated=True,
        rounds=0.6,
    )
    for name, size in _SIZES.items()
)
