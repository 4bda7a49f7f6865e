"""What is measured: one file for each scenario, each a value. Adding one is a file and a line here."""

from benchmarks.scenarios.base import Scenario
from benchmarks.scenarios.burst_cpu import BURST_CPU, EACH_CPU
from benchmarks.scenarios.json_chat import JSON_CHAT
from benchmarks.scenarios.paced import PACED
from benchmarks.scenarios.stream_concurrent import STREAM_8, STREAM_32
from benchmarks.scenarios.stream_sequential import STREAM_SEQUENTIAL

SCENARIOS: tuple[Scenario, ...] = (STREAM_SEQUENTIAL, STREAM_8, STREAM_32, JSON_CHAT, BURST_CPU, EACH_CPU, PACED)
