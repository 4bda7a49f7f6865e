"""What is measured: one file for each scenario, each a value. Adding one is a file and a line here."""

from benchmarks.scenarios.base import Scenario, Starting
from benchmarks.scenarios.bodies import BODIES
from benchmarks.scenarios.burst_cpu import BURST_CPU, EACH_CPU
from benchmarks.scenarios.bursts import BURST_COLD, BURST_WARM
from benchmarks.scenarios.cold_start import COLD_START
from benchmarks.scenarios.embeddings import EMBEDDINGS_2M
from benchmarks.scenarios.full_store import FULL_STORE
from benchmarks.scenarios.json_chat import JSON_CHAT
from benchmarks.scenarios.mixed import MIXED
from benchmarks.scenarios.paced import PACED_400, PACED_2000, PACED_5000
from benchmarks.scenarios.policies import POLICIES_JSON, POLICIES_STREAM
from benchmarks.scenarios.stream_concurrent import STREAM_8, STREAM_32, STREAM_256
from benchmarks.scenarios.stream_sequential import STREAM_SEQUENTIAL
from benchmarks.scenarios.two_requests import TWO_REQUESTS

SCENARIOS: tuple[Scenario | Starting, ...] = (
    STREAM_SEQUENTIAL,
    STREAM_8,
    STREAM_32,
    STREAM_256,
    JSON_CHAT,
    BURST_CPU,
    EACH_CPU,
    *BODIES,
    EMBEDDINGS_2M,
    TWO_REQUESTS,
    MIXED,
    BURST_WARM,
    BURST_COLD,
    PACED_400,
    PACED_2000,
    PACED_5000,
    FULL_STORE,
    POLICIES_STREAM,
    POLICIES_JSON,
    COLD_START,
)
