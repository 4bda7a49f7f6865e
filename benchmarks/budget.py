"""The speed budget: what is promised, as data. A figure beyond `must` fails `make bench-guard`; `aim` is the wish.

Nothing is computed here; `guard` finds the figures. A figure to nginx is a ratio of what both add in the same rounds.
"""

from dataclasses import dataclass
from typing import Literal

Figure = Literal[
    "added_p50_ratio",
    "added_p99_ratio",
    "cpu_ratio",
    "ttft_p99_ms",
    "stream_kib",
    "added_p50_to_slowest",
    "added_p50_to_litellm",
    "rate_to_litellm",
    "added_p50_growth",
    "cpu_growth",
    "seconds",
]


@dataclass(frozen=True, slots=True)
class Row:
    """One promise about one scenario. It is kept when the figure is not above `must`; `floor`: not below it."""

    name: str
    scenario: str
    figure: Figure
    must: float
    aim: float
    unit: str
    #: Whom it is about: the gateway, or what was started.
    system: str = "gateway"
    floor: bool = False
    #: Systems without which there is no figure: the row is left out where they were not measured.
    needs: tuple[str, ...] = ()


BUDGET = (
    Row("added TTFT p50, streaming, 1 connection", "stream-1", "added_p50_ratio", 1.8, 1.25, "x nginx"),
    Row("added TTFT p99, the same", "stream-1", "added_p99_ratio", 2.5, 1.5, "x nginx"),
    Row("CPU per 20-chunk burst stream", "each-cpu", "cpu_ratio", 1.6, 1.2, "x nginx"),
    Row("CPU per relayed chunk, 400 paced streams", "paced-400", "cpu_ratio", 2.0, 1.5, "x nginx"),
    Row("CPU per JSON request", "json-chat", "cpu_ratio", 6.0, 4.0, "x nginx"),
    Row("100 KiB body, added TTFT", "body-100k", "added_p50_ratio", 2.0, 1.3, "x nginx"),
    Row("1 MiB body, added TTFT", "body-1m", "added_p50_ratio", 2.0, 1.3, "x nginx"),
    Row("5 MiB body, added TTFT", "body-5m", "added_p50_ratio", 2.0, 1.3, "x nginx"),
    Row("burst of 100 new streams, warm pool, TTFT p99", "burst-warm", "ttft_p99_ms", 5.0, 2.0, "ms"),
    Row("memory per open stream, 5,000 streams", "paced-5000", "stream_kib", 60.0, 35.0, "KiB"),
    Row("added TTFT with a full store", "full-store", "added_p50_growth", 10.0, 3.0, "%", "gateway-full"),
    Row("added TTFT with all policies on", "policies-stream", "added_p50_growth", 10.0, 5.0, "%", "gateway-policies"),
    Row("CPU per JSON request with all policies on", "policies-json", "cpu_growth", 15.0, 8.0, "%", "gateway-policies"),
    Row("`serve` ready", "cold-start", "seconds", 0.7, 0.4, "s", "serve"),
    Row("`--help`", "cold-start", "seconds", 0.2, 0.1, "s", "help"),
    Row(
        "added TTFT against vllm-router and Envoy, the slower one",
        *("stream-1", "added_p50_to_slowest", 1.0, 0.8, "x it"),
        needs=("vllm-router", "envoy"),
    ),
    Row(
        "added TTFT against LiteLLM",
        *("stream-1", "added_p50_to_litellm", 1 / 20, 1 / 40, "x it"),
        needs=("litellm",),
    ),
    Row(
        "JSON requests per second against LiteLLM",
        *("json-chat", "rate_to_litellm", 40.0, 80.0, "x it"),
        floor=True,
        needs=("litellm",),
    ),
    Row(
        "streams per second against LiteLLM",
        *("stream-32", "rate_to_litellm", 40.0, 80.0, "x it"),
        floor=True,
        needs=("litellm",),
    ),
)
