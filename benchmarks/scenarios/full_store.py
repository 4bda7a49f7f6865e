"""One stream after another on a gateway with an empty store, and on one whose store is full: they must not differ.

The full store has 100,000 keys and 10,000,000 rows unless options say otherwise; `benchmarks.store` makes it, once.
"""

from benchmarks.scenarios.base import Scenario

FULL_STORE = Scenario(
    name="full-store",
    about="1 connection, 3-event streams: an empty store against a full one",
    script="bench-first",
    unit="stream",
    events=3,
    isolated=True,
    # A process that has run for long is not a new one: both are new.
    fresh=True,
    rounds=0.7,
    systems=("direct", "gateway", "gateway-full"),
)
