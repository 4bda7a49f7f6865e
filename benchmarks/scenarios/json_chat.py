"""Chat without a stream: the CPU time of one JSON request, and how many of them one core serves."""

from benchmarks.scenarios.base import Scenario

JSON_CHAT = Scenario(
    name="json-chat",
    about="8 connections, JSON responses, closed loop: CPU per request",
    script="bench-json",
    unit="request",
    stream=False,
    connections=8,
    seconds=1.0,
)
