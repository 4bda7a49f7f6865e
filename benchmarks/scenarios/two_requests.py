"""Two requests on each connection, then a new connection: the second must not be slower than the first.

A sender that leaves Nagle's algorithm on waits for an acknowledgement, which a kernel delays by 40 ms once a connection
is no longer new. The table's TTFT is of both requests, and `reused` that of the second ones alone: a step of 40 ms
there is Nagle.
"""

from benchmarks.scenarios.base import Scenario

TWO_REQUESTS = Scenario(
    name="two-requests",
    about="two streams on one connection, then a new one: a step of 40 ms in `reused` is Nagle",
    script="bench-each-3",
    unit="stream",
    events=3,
    per_connection=2,
    seconds=0.5,
    requests=2000,
    warmup=20,
    isolated=True,
    rounds=0.5,
)
