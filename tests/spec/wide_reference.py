"""A wide gateway's API reference: its endpoints, the headers, shapes of errors, examples."""

from collections.abc import Callable

import httpx

from tests.spec.claims import Claims
from tests.spec.demo import Demo

WIDE = Claims("wide gateway's reference")

CACHE, BUDGETS = "caches are still to come", "budgets are still to come"
GUARDRAILS = "guardrails are still to come"
ALIASES = "names of models that clients send on their own are still to come"

ALWAYS = ("request-id", "trace-id", "latency-ms", "model-used", "provider", "timeout-ms")


def _served(text: str, ask: Callable[[Demo], httpx.Response]) -> None:
    def check(demo: Demo) -> None:
        response = ask(demo)
        assert response.status_code == 200, response.text

    WIDE.add("Supported endpoints", text, check)


_TURN = [{"role": "user", "content": "hi"}]
_served("POST /v1/chat/completions", lambda demo: demo.chat())
_served(
    "POST /v1/completions",
    lambda demo: demo.send("POST", "/v1/completions", {"model": "prometheus-core", "prompt": "One"}),
)
_served(
    "POST /v1/embeddings", lambda demo: demo.send("POST", "/v1/embeddings", {"model": "prometheus-atlas", "input": "a"})
)
_served("POST /v1/audio/transcriptions", lambda demo: demo.transcribe("json"))
_served(
    "POST /v1/audio/speech",
    lambda demo: demo.send(
        "POST", "/v1/audio/speech", {"model": "prometheus-voice", "input": "Hello.", "voice": "alloy"}
    ),
)
_served(
    "POST /v1/audio/speech/stream",
    lambda demo: demo.send(
        "POST", "/v1/audio/speech/stream", {"model": "prometheus-voice", "input": "Hello.", "voice": "alloy"}
    ),
)
_served(
    "POST /v1/images/generations",
    lambda demo: demo.send("POST", "/v1/images/generations", {"model": "prometheus-canvas", "prompt": "A skyline"}),
)
_served(
    "POST /v1/rerank",
    lambda demo: demo.send("POST", "/v1/rerank", {"model": "prometheus-rank", "query": "a", "documents": ["b", "c"]}),
)
_served("GET /v1/models", lambda demo: demo.get("/v1/models"))
_served(
    "POST /v1/responses",
    lambda demo: demo.send("POST", "/v1/responses", {"model": "prometheus-core", "input": "hi"}),
)
_served(
    "POST /v1/messages",
    lambda demo: demo.send("POST", "/v1/messages", {"model": "prometheus-core", "max_tokens": 9, "messages": _TURN}),
)
_served(
    "POST /v1/count_tokens",
    lambda demo: demo.send("POST", "/v1/count_tokens", {"model": "prometheus-core", "messages": _TURN}),
)


@WIDE.claim("Request headers", "x-prism-trace-id comes back as X-Prism-Trace-Id")
def trace_id(demo: Demo) -> None:
    assert demo.chat({"x-prism-trace-id": "trace-42"}).headers["x-prism-trace-id"] == "trace-42"


def _taken(header: str, value: str, missing: str) -> None:
    def check(demo: Demo) -> None:
        assert demo.chat({header: value}).headers.get("x-prism-cache") is not None

    WIDE.add("Request headers", f"{header}: {value}", check, missing=missing)


for _header, _value in (
    ("x-prism-cache-ttl", "5m"),
    ("x-prism-cache-force-refresh", "true"),
    ("cache-control", "no-store"),
):
    _taken(_header, _value, CACHE)


@WIDE.claim("Request headers", "x-prism-session-id and x-prism-metadata are stored with the row")
def session(demo: Demo) -> None:
    row = demo.row(demo.chat({"x-prism-session-id": "s1", "x-prism-metadata": "team=a"}).headers["x-request-id"])
    assert (row.session, row.metadata) == ("s1", '{"team":"a"}')


def _always(name: str) -> None:
    def check(demo: Demo) -> None:
        for response in (demo.chat(), demo.chat(stream=True)):
            assert response.headers[f"x-prism-{name}"]

    WIDE.add("Response headers, always", f"X-Prism-{name.title()} on good answers", check)


for _name in ALWAYS:
    _always(_name)


@WIDE.claim("Response headers, always", "all six on refusals, lists of models and objects too")
def always_everywhere(demo: Demo) -> None:
    for response in (
        demo.chat(model="none"),
        demo.get("/v1/models"),
        demo.get("/v1/files"),
        demo.http.get("/v1/models"),
    ):
        for name in ALWAYS:
            assert f"x-prism-{name}" in response.headers


@WIDE.claim("Response headers, always", "the latency is a whole number of milliseconds")
def whole_latency(demo: Demo) -> None:
    assert demo.chat().headers["x-prism-latency-ms"].isdigit()


@WIDE.claim("Response headers, conditional", "X-Prism-Cost where the model has a price")
def cost(demo: Demo) -> None:
    assert demo.chat().headers["x-prism-cost"]


@WIDE.claim("Response headers, conditional", "X-Prism-Cache", missing=CACHE)
def cache(demo: Demo) -> None:
    assert demo.chat().headers["x-prism-cache"] in ("miss", "hit", "skip")


@WIDE.claim("Response headers, conditional", "X-Prism-Guardrail-Triggered", missing=GUARDRAILS)
def guardrail_header(demo: Demo) -> None:
    assert "x-prism-guardrail-triggered" in demo.chat().headers


@WIDE.claim("Response headers, conditional", "X-Prism-Routing-Strategy")
def routing_strategy(demo: Demo) -> None:
    assert "x-prism-routing-strategy" in demo.chat().headers


@WIDE.claim(
    "Response headers, conditional",
    "X-Ratelimit-Limit, -Remaining and -Reset-Requests",
    missing="no limit is set by default",
)
def rate_limit_headers(demo: Demo) -> None:
    for name in ("limit", "remaining", "reset"):
        assert f"x-ratelimit-{name}-requests" in demo.chat().headers


@WIDE.claim("Error responses", "a guardrail's 403 guardrail_triggered", missing=GUARDRAILS)
def guardrail_error(demo: Demo) -> None:
    assert demo.chat().status_code == 403


@WIDE.claim("Error responses", "a spent budget's 429 budget_exceeded", missing=BUDGETS)
def budget_error(demo: Demo) -> None:
    assert demo.chat().status_code == 429


@WIDE.claim(
    "Error responses",
    "a provider that fails: type provider_error, 502",
    differs="the code tells the precise cause instead of bad_gateway; what a provider answers keeps its status",
)
def provider_error(demo: Demo) -> None:
    response = demo.chat(messages=[{"role": "user", "content": "demo:error=503"}])
    assert response.status_code in (502, 503)
    assert response.json()["error"]["message"]


def _example(name: str, ask: Callable[[Demo], httpx.Response]) -> None:
    def check(demo: Demo) -> None:
        assert ask(demo).status_code == 200

    WIDE.add("Code examples", name, check, missing=ALIASES)


_PICTURE = [{"type": "image_url", "image_url": {"url": "https://example.com/photo.jpg"}}]
_example("vision with gpt-4o", lambda demo: demo.chat(model="gpt-4o", messages=[{"role": "user", "content": _PICTURE}]))
_example(
    "embeddings with text-embedding-3-small",
    lambda demo: demo.send("POST", "/v1/embeddings", {"model": "text-embedding-3-small", "input": "a"}),
)
_example(
    "images with dall-e-3, answered by URL",
    lambda demo: demo.send(
        "POST", "/v1/images/generations", {"model": "dall-e-3", "prompt": "A skyline", "n": 1, "size": "1024x1024"}
    ),
)


@WIDE.claim("Code examples", "function calling with a tool and tool_choice auto", differs="the model is an alias")
def function_calling(demo: Demo) -> None:
    parameters = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": parameters}}
    asked = [{"role": "user", "content": "What's the weather in Paris?"}]
    assert demo.chat(messages=asked, tools=[tool], tool_choice="auto").status_code == 200
