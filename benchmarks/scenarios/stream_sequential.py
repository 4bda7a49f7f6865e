"""One connection, one stream after another: what the gateway adds to the time to first token when nothing is busy.

The head, the role chunk and each content chunk arrive in writes of their own, as they do from a model.
"""

from benchmarks.scenarios.base import Scenario

STREAM_SEQUENTIAL = Scenario(
    name="stream-1",
    about="1 connection, 3-event streams: time to first token",
    script="bench-first",
    unit="stream",
    events=3,
    connections=1,
    seconds=1.0,
    isolated=True,
)
