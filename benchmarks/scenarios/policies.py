"""The gateway with every limit, a budget and a strategy beside the one without: what they add to a request."""

from benchmarks.scenarios.base import Scenario

_SYSTEMS = ("direct", "gateway", "gateway-policies")

POLICIES_STREAM = Scenario(
    name="policies-stream",
    about="1 connection, 3-event streams: all policies off against all on",
    script="bench-first",
    unit="stream",
    events=3,
    isolated=True,
    systems=_SYSTEMS,
)
POLICIES_JSON = Scenario(
    name="policies-json",
    about="8 connections, JSON responses: all policies off against all on, CPU per request",
    script="bench-json",
    unit="request",
    stream=False,
    connections=8,
    systems=_SYSTEMS,
)
