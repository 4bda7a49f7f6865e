"""A self-hosted gateway's page of endpoints: X-API-Key, health, metrics, statistics, administration, errors, limits."""

import re

from tests.spec.claims import Claims
from tests.spec.demo import Demo

SELF_HOSTED = Claims("self-hosted page")

ALIASES = "names of models that clients send on their own are still to come: the alias is sent today"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@SELF_HOSTED.claim("Authentication", "the key is taken as X-API-Key")
def x_api_key(demo: Demo) -> None:
    body = {"model": "prometheus-core", "messages": QUESTION, "max_tokens": 50}
    response = demo.http.post("/v1/chat/completions", json=body, headers={"x-api-key": demo.key})
    assert response.status_code == 200


@SELF_HOSTED.claim(
    "Chat completions", "the whole example request: max_tokens, temperature, top_p, n, stream, stop null"
)
def request_fields(demo: Demo) -> None:
    assert demo.chat(max_tokens=150, temperature=0.7, top_p=1.0, n=1, stream=False, stop=None).status_code == 200


@SELF_HOSTED.claim("Chat completions", "the answer has every field of the example")
def answer_fields(demo: Demo) -> None:
    answer = demo.chat().json()
    assert answer["object"] == "chat.completion"
    assert {"id", "created", "model", "choices", "usage"} <= set(answer)
    choice = answer["choices"][0]
    assert (choice["index"], choice["message"]["role"], choice["finish_reason"]) == (0, "assistant", "stop")
    assert set(answer["usage"]) >= {"prompt_tokens", "completion_tokens", "total_tokens"}


@SELF_HOSTED.claim("Chat completions", "the same as a stream")
def streamed(demo: Demo) -> None:
    assert demo.chat(stream=True).text.rstrip().endswith("data: [DONE]")


def _model(name: str) -> None:
    def check(demo: Demo) -> None:
        assert demo.chat(model=name).status_code == 200

    SELF_HOSTED.add("Chat completions", f"the model name {name}", check, missing=ALIASES)


for _name in (
    *("gpt-4o", "gpt-3.5-turbo", "gpt-4-turbo", "gpt-4", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-1.5-pro"),
    *("claude-sonnet-4-20250514", "claude-opus-4-20250514"),
):
    _model(_name)


@SELF_HOSTED.claim("Health and status", "GET /health: status, timestamp, version and services")
def health(demo: Demo) -> None:
    response = demo.http.get("/health")
    assert {"status", "timestamp", "version", "services"} <= set(response.json())


@SELF_HOSTED.claim("Health and status", "GET /health/ready")
def health_ready(demo: Demo) -> None:
    assert demo.http.get("/health/ready").status_code == 200


@SELF_HOSTED.claim("Health and status", "GET /health/live")
def health_live(demo: Demo) -> None:
    assert demo.http.get("/health/live").status_code == 200


def _metric(name: str) -> None:
    def check(demo: Demo) -> None:
        assert name in demo.operate("GET", "/metrics").text

    SELF_HOSTED.add("Metrics and monitoring", f"GET /metrics has {name}", check)


for _metric_name in (
    *("gateway_requests_total", "gateway_request_duration_seconds_bucket", "gateway_cache_hits_total"),
    "gateway_tokens_used_total",
):
    _metric(_metric_name)


@SELF_HOSTED.claim("Metrics and monitoring", "GET /stats in the example's shape")
def stats(demo: Demo) -> None:
    shape = {"total_requests", "cache_stats", "provider_stats", "rate_limit_stats"}
    assert shape <= set(demo.operate("GET", "/stats").json())


@SELF_HOSTED.claim("Management", "POST /admin/reload-config")
def reload_config(demo: Demo) -> None:
    response = demo.operate("POST", "/admin/reload-config")
    # A demo has no file to reload, and says so.
    assert (response.status_code, response.json()["error"]["code"]) == (409, "no_config_file")


@SELF_HOSTED.claim("Management", "GET /admin/cache/stats")
def cache_stats(demo: Demo) -> None:
    assert {"redis", "semantic_cache"} <= set(demo.operate("GET", "/admin/cache/stats").json())


@SELF_HOSTED.claim("Management", "POST /admin/cache/clear")
def cache_clear(demo: Demo) -> None:
    assert demo.operate("POST", "/admin/cache/clear").json()["status"] == "success"


@SELF_HOSTED.claim("Error responses", "timestamp and request_id stand beside the error")
def siblings(demo: Demo) -> None:
    body = demo.chat(model="none").json()
    assert re.fullmatch(r"req_[0-9a-f]+", body["request_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", body["timestamp"])


@SELF_HOSTED.claim(
    "Error responses",
    "a wrong key is 401 invalid_api_key",
    differs="the type is invalid_request_error, as in OpenAI's API and the hosted reference",
)
def wrong_key(demo: Demo) -> None:
    response = demo.http.post("/v1/chat/completions", json={}, headers={"x-api-key": "wrong"})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (401, "invalid_api_key", "invalid_request_error")


@SELF_HOSTED.claim(
    "Error responses",
    "an unknown model is model_not_found",
    differs="with status 404, as OpenAI does, and 400 on /v1/responses",
)
def unknown_model(demo: Demo) -> None:
    response = demo.chat(model="none")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    response = demo.send("POST", "/v1/responses", {"model": "none", "input": "x"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "model_not_found")


@SELF_HOSTED.claim("Error responses", "a malformed request is 400 invalid_request")
def malformed(demo: Demo) -> None:
    headers = {**demo.bearer, "content-type": "application/json"}
    response = demo.http.post("/v1/chat/completions", content=b'{"model":', headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


@SELF_HOSTED.claim(
    "Error responses",
    "a provider that fails is 502 provider_error",
    differs="provider_error is the type, and the code tells the cause",
)
def provider_error(demo: Demo) -> None:
    said = [{"role": "user", "content": "demo:cut=0 demo:delay=0"}]
    response = demo.chat(messages=said, stream=True)
    assert response.status_code in (200, 502)
    if response.status_code == 502:
        assert response.json()["error"]["type"] == "provider_error"


@SELF_HOSTED.claim("Rate limiting", "429 rate_limit_exceeded, with headers", missing="no limit is set by default")
def rate_limits(demo: Demo) -> None:
    assert "x-ratelimit-limit-requests" in demo.chat().headers


def _page(path: str) -> None:
    def check(demo: Demo) -> None:
        assert demo.http.get(path).status_code == 200

    SELF_HOSTED.add("OpenAPI pages", f"GET {path}", check)


for _path in ("/docs", "/redoc", "/openapi.json"):
    _page(_path)


@SELF_HOSTED.claim("Client libraries", "Python: OpenAI's client with a base URL", differs="the model is an alias")
def python_client(demo: Demo) -> None:
    answer = demo.sdk.chat.completions.create(model="prometheus-core", messages=[{"role": "user", "content": "Hello!"}])
    assert answer.choices[0].message.content


@SELF_HOSTED.claim("Client libraries", "Node.js: OpenAI's client with a base URL", differs="the model is an alias")
def node_client(demo: Demo) -> None:
    assert demo.node("""
        const response = await prometheus.chat.completions.create({
          model: "prometheus-core", messages: [{ role: "user", content: "Hello!" }],
        });
        console.log(JSON.stringify(response.choices[0].message.content));
    """)
