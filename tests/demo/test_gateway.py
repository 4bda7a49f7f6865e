"""The demo as `serve` runs it: a whole gateway in front of the demo provider, on every endpoint that it forwards."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import openai
import pytest

from proxy.config.tree import Server
from proxy.demo.app import ROUTES
from proxy.demo.media import SAMPLE_RATE, wav_header
from proxy.demo.settings import DEMO_MODELS, demo_config
from proxy.endpoints.table import ROWS, Row
from proxy.resources.spec import ResourceRow
from proxy.resources.table import RESOURCE_ROWS
from tests.demo.conftest import Provider
from tests.serving import KEY, RunningGateway

ASKED = [{"role": "user", "content": "demo:tokens=3"}]
CONTENTS = [{"role": "user", "parts": [{"text": "demo:tokens=3"}]}]


@pytest.fixture(scope="module")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    server = Server(data_dir=str(tmp_path_factory.mktemp("demo")), port=0, log_format="json")
    with RunningGateway(demo_config(provider.port, provider.settings, server)) as running:
        yield running


def post(gateway: RunningGateway, path: str, body: Any) -> httpx.Response:
    answer = httpx.post(f"{gateway.url}{path}", json=body, headers={"authorization": f"Bearer {KEY}"}, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize(
    "alias", [model.alias for model in DEMO_MODELS if model.capability in ("chat", "vision", "realtime")]
)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": ASKED}),
        ("/v1/responses", {"input": "demo:tokens=3"}),
        ("/v1/messages", {"messages": ASKED, "max_tokens": 9}),
        ("/v1beta/models/{alias}:generateContent", {"contents": CONTENTS}),
    ],
)
def test_every_alias_that_writes_answers_in_every_format(
    gateway: RunningGateway, alias: str, path: str, body: dict[str, Any]
) -> None:
    answer = post(gateway, path.replace("{alias}", alias), {"model": alias, **body})
    assert "the sun was" in answer.text
    assert alias in answer.text
    assert "demo-" not in answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": ASKED, "stream": True}),
        ("/v1/responses", {"input": "demo:tokens=3", "stream": True}),
        ("/v1/messages", {"messages": ASKED, "max_tokens": 9, "stream": True}),
        ("/v1beta/models/prometheus-core:streamGenerateContent?alt=sse", {"contents": CONTENTS}),
        ("/v1beta/models/prometheus-core:streamGenerateContent", {"contents": CONTENTS}),
    ],
)
def test_every_stream_is_billed_by_what_the_provider_reports(
    gateway: RunningGateway, path: str, body: dict[str, Any]
) -> None:
    answer = post(gateway, path, {"model": "prometheus-core", **body})
    assert "demo-" not in answer.text
    row = gateway.rows()[-1]
    assert (row.output_tokens, row.usage_source, row.outcome) == (3, "reported", "complete")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "prometheus-atlas", "input": "hi", "dimensions": 4}),
        ("/v1beta/models/prometheus-atlas:embedContent", {"content": {"parts": [{"text": "hi"}]}}),
        (
            "/v1/models/prometheus-atlas:batchEmbedContents",
            {"requests": [{"model": "models/prometheus-atlas", "content": {"parts": [{"text": "hi"}]}}]},
        ),
        ("/v1/completions", {"model": "prometheus-core", "prompt": "hi"}),
        ("/v1/moderations", {"model": "prometheus-guard", "input": "hi"}),
        ("/v1/rerank", {"model": "prometheus-rank", "query": "hi", "documents": ["hi"]}),
        ("/v1/search", {"model": "prometheus-quest", "query": "hi"}),
        ("/v1/ocr", {"model": "prometheus-lens", "document": {"document_url": "https://example.com"}}),
        ("/v1/images/generations", {"model": "prometheus-canvas", "prompt": "a fox"}),
        ("/v1/images/generations", {"model": "prometheus-canvas", "prompt": "a fox", "stream": True}),
        ("/v1/audio/speech", {"model": "prometheus-voice", "input": "hi", "voice": "alloy", "stream_format": "sse"}),
        ("/v1/responses/input_tokens", {"model": "prometheus-core", "input": "hi"}),
        ("/v1/count_tokens", {"model": "prometheus-core", "messages": ASKED}),
        ("/v1/messages/count_tokens", {"model": "prometheus-core", "messages": ASKED}),
        ("/v1beta/models/prometheus-core:countTokens", {"contents": CONTENTS}),
    ],
)
def test_the_other_endpoints_answer(gateway: RunningGateway, path: str, body: dict[str, Any]) -> None:
    assert "demo-" not in post(gateway, path, body).text


def test_sound_comes_through(gateway: RunningGateway) -> None:
    body = {"model": "prometheus-voice", "input": "hi", "voice": "alloy", "response_format": "wav"}
    assert post(gateway, "/v1/audio/speech", body).content.startswith(b"RIFF")


def test_a_transcription_is_billed_by_the_minute(gateway: RunningGateway) -> None:
    wav = wav_header(SAMPLE_RATE * 2 * 60) + bytes(SAMPLE_RATE * 2 * 60)
    with openai.OpenAI(base_url=gateway.base_url, api_key=KEY) as client:
        answer = client.audio.transcriptions.create(model="prometheus-echo", file=("talk.wav", wav))
    assert "60.0 seconds" in answer.text
    assert gateway.rows()[-1].cost == 6_000_000


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
def test_every_row_of_the_table_has_an_answer(row: Row) -> None:
    root = "/v1beta" if row.dialect.name == "gemini" else "/v1"
    assert (row.method, root + row.upstream_path) in {(method, path) for method, path, _ in ROUTES}


@pytest.mark.parametrize("row", RESOURCE_ROWS, ids=lambda row: f"{row.method} {row.path}")
def test_every_row_of_the_table_of_resources_has_a_route(row: ResourceRow) -> None:
    assert (row.method, re.sub(r"{\w+}", "{}", row.path)) in {
        (method, re.sub(r"{\w+}", "{}", path)) for method, path, _ in ROUTES
    }


def test_the_list_of_models_begins_with_the_eight(gateway: RunningGateway) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    found = httpx.get(f"{gateway.base_url}/models", headers=headers, trust_env=False).content
    names = [model["id"] for model in msgspec.json.decode(found)["data"]]
    assert names == [model.alias for model in DEMO_MODELS]
    assert names[7] == "prometheus-echo"
