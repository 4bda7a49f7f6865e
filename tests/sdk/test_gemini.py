"""Google's own SDK as a client: what it reads, what it raises, and what its requests are billed.

The demo provider answers where its answers will do; what it never says is scripted. Facts of the wire:
https://ai.google.dev/api/generate-content.
"""

import asyncio
import json
from collections.abc import Iterator

import pytest
from google import genai
from google.genai import types
from google.genai.errors import APIError, ClientError

from proxy.config.tree import Server
from proxy.demo.settings import demo_config
from tests.demo.conftest import Provider
from tests.demo.conftest import provider as provider
from tests.exchange.samples import ANSWERING_MODEL, begun, wait_until
from tests.fakes import Close, Hang, ScriptedUpstream, json_answer, sse_answer
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

EMBEDDER = "prometheus-atlas"
USED = {
    "promptTokenCount": 300,
    "cachedContentTokenCount": 120,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 40,
    "totalTokenCount": 347,
}


def answer_of(text: str, finish: str | None = None, **fields: object) -> dict[str, object]:
    """One chunk, or a whole answer."""
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    return {
        "candidates": [{**candidate, "finishReason": finish} if finish else candidate],
        "modelVersion": ANSWERING_MODEL,
        "responseId": "r1",
        **fields,
    }


def event(text: str, finish: str | None = None, **fields: object) -> bytes:
    """One event of a stream, as the upstream sends it."""
    return b"data: " + json.dumps(answer_of(text, finish, **fields)).encode() + b"\r\n\r\n"


def client_of(gateway: RunningGateway, key: str = KEY) -> genai.Client:
    return genai.Client(api_key=key, vertexai=False, http_options=types.HttpOptions(base_url=gateway.url))


@pytest.fixture(scope="module")
def demo(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway in front of the demo provider."""
    server = Server(data_dir=str(tmp_path_factory.mktemp("demo")), port=0, log_format="json")
    with RunningGateway(demo_config(provider.port, provider.settings, server)) as running:
        yield running


@pytest.fixture(scope="module")
def client(demo: RunningGateway) -> Iterator[genai.Client]:
    with client_of(demo) as one:
        yield one


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway in front of a scripted Gemini."""
    folder = tmp_path_factory.mktemp("gateway")
    config = simple_config(folder, f"{upstream.base_url}/v1beta", upstream={"kind": "gemini"})
    with RunningGateway(config) as running:
        yield running


@pytest.fixture(scope="module")
def scripted(gateway: RunningGateway) -> Iterator[genai.Client]:
    with client_of(gateway) as one:
        yield one


def test_an_answer_at_once(demo: RunningGateway, client: genai.Client) -> None:
    answer = client.models.generate_content(model=ALIAS, contents="demo:tokens=3")
    assert answer.model_version == ALIAS
    assert answer.text
    assert answer.usage_metadata is not None
    row = demo.rows()[-1]
    assert (row.outcome, row.usage_source, row.stream, row.output_tokens) == ("complete", "reported", False, 3)
    assert row.input_tokens == answer.usage_metadata.prompt_token_count


def test_a_stream_comes_in_pieces(demo: RunningGateway, client: genai.Client) -> None:
    chunks = list(client.models.generate_content_stream(model=ALIAS, contents="demo:tokens=3"))
    assert len(chunks) == 3
    assert {chunk.model_version for chunk in chunks} == {ALIAS}
    assert all(chunk.text for chunk in chunks)
    row = demo.rows()[-1]
    assert (row.outcome, row.usage_source, row.stream, row.output_tokens) == ("complete", "reported", True, 3)


def test_a_function_is_called(client: genai.Client) -> None:
    weather = types.FunctionDeclaration(
        name="weather",
        parameters=types.Schema(
            type=types.Type.OBJECT, properties={"model": types.Schema(type=types.Type.STRING)}, required=["model"]
        ),
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[weather])],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
        ),
    )
    answer = client.models.generate_content(model=ALIAS, contents="What is the weather in Paris?", config=config)
    assert answer.function_calls is not None
    (call,) = answer.function_calls
    assert (call.name, list(call.args or {})) == ("weather", ["model"])


def test_tokens_are_counted_and_not_billed(demo: RunningGateway, client: genai.Client) -> None:
    answer = client.models.count_tokens(model=ALIAS, contents="How many?")
    assert answer.total_tokens
    row = demo.rows()[-1]
    assert (row.endpoint, row.outcome, row.cost) == ("/v1beta/models/{model}:countTokens", "complete", 0)


def test_texts_become_vectors(demo: RunningGateway, client: genai.Client) -> None:
    config = types.EmbedContentConfig(output_dimensionality=4)
    answer = client.models.embed_content(model=EMBEDDER, contents=["one", "two"], config=config)
    assert answer.embeddings is not None
    assert [len(embedding.values or []) for embedding in answer.embeddings] == [4, 4]
    row = demo.rows()[-1]
    assert (row.outcome, row.usage_source) == ("complete", "reported")


def test_the_version_of_the_api_may_be_the_beta(demo: RunningGateway) -> None:
    options = types.HttpOptions(base_url=demo.url, api_version="v1beta")
    with genai.Client(api_key=KEY, vertexai=False, http_options=options) as client:
        assert client.models.generate_content(model=ALIAS, contents="demo:tokens=3").model_version == ALIAS


def test_a_chat_keeps_its_history(client: genai.Client) -> None:
    chat = client.chats.create(model=ALIAS)
    assert chat.send_message("demo:tokens=2").text
    assert [chunk.text for chunk in chat.send_message_stream("demo:tokens=2")]
    roles = [content.role for content in chat.get_history()]
    assert roles[:3] == ["user", "model", "user"]
    assert set(roles[3:]) == {"model"}


def test_a_wrong_key_is_unauthenticated(demo: RunningGateway) -> None:
    with client_of(demo, "prom_sk_wrong") as client, pytest.raises(ClientError) as error:
        client.models.generate_content(model=ALIAS, contents="hello")
    assert (error.value.code, error.value.status) == (401, "UNAUTHENTICATED")


def test_an_unknown_alias_is_not_found(client: genai.Client) -> None:
    with pytest.raises(ClientError) as error:
        client.models.generate_content(model="prometheus-cor", contents="hello")
    assert (error.value.code, error.value.status) == (404, "NOT_FOUND")


def test_an_unknown_alias_is_not_found_before_a_stream_begins(client: genai.Client) -> None:
    with pytest.raises(ClientError) as error:
        list(client.models.generate_content_stream(model="prometheus-cor", contents="hello"))
    assert (error.value.code, error.value.status) == (404, "NOT_FOUND")


def test_the_upstream_s_own_error_is_the_same_error(scripted: genai.Client, upstream: ScriptedUpstream) -> None:
    detail = {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}
    upstream.script(json_answer({"error": detail}, 429))
    with pytest.raises(ClientError, match="Quota exceeded") as error:
        scripted.models.generate_content(model=ALIAS, contents="hello")
    assert (error.value.code, error.value.status) == (429, "RESOURCE_EXHAUSTED")


def test_the_upstream_is_asked_for_its_own_model_and_with_its_own_key(
    scripted: genai.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(json_answer(answer_of("Hello", "STOP", usageMetadata=USED)))
    scripted.models.generate_content(model=ALIAS, contents="hello")
    sent = upstream.requests[-1]
    assert sent.target == "/v1beta/models/vendor-model-2026-08-07:generateContent"
    assert sent.header("x-goog-api-key") == "sk-upstream-secret"


def test_thoughts_and_the_cache_are_in_the_bill_of_an_answer(
    gateway: RunningGateway, scripted: genai.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(json_answer(answer_of("Hello", "STOP", usageMetadata=USED)))
    assert scripted.models.generate_content(model=ALIAS, contents="hello").text == "Hello"
    check_bill(gateway)


def test_the_last_usage_of_a_stream_is_billed(
    gateway: RunningGateway, scripted: genai.Client, upstream: ScriptedUpstream
) -> None:
    first = {**USED, "candidatesTokenCount": 1, "totalTokenCount": 341}
    upstream.script(sse_answer(event("Hel", usageMetadata=first) + event("lo", "STOP", usageMetadata=USED)))
    chunks = scripted.models.generate_content_stream(model=ALIAS, contents="hello")
    assert "".join(chunk.text or "" for chunk in chunks) == "Hello"
    check_bill(gateway)


def check_bill(gateway: RunningGateway) -> None:
    """Compare the last row with `USED`; the ledger's output has the thoughts in it."""
    row = gateway.rows()[-1]
    assert (row.usage_source, row.input_tokens, row.cached_input_tokens) == ("reported", 300, 120)
    assert (row.output_tokens, row.reasoning_tokens) == (47, 40)


def test_a_cut_stream_is_raised(gateway: RunningGateway, scripted: genai.Client, upstream: ScriptedUpstream) -> None:
    upstream.script([*begun(event("Hello", usageMetadata=USED)), Close()])
    seen: list[str | None] = []
    with pytest.raises(APIError, match="closed the connection"):
        seen.extend(chunk.text for chunk in scripted.models.generate_content_stream(model=ALIAS, contents="hello"))
    assert gateway.rows()[-1].outcome == "upstream_cut"


def test_a_stream_that_is_given_up_is_cancelled_upstream(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.script([*begun(event("Hello", usageMetadata=USED)), Hang()])
    with client_of(gateway) as client:
        stream = client.models.generate_content_stream(model=ALIAS, contents="hello")
        assert next(stream).text == "Hello"
        del stream
    assert upstream.requests[-1].closed.wait(5)
    wait_until(lambda: gateway.rows()[-1].outcome == "client_closed", "the bill")


def test_the_asynchronous_client_streams(demo: RunningGateway) -> None:
    async def read(client: genai.Client) -> list[str | None]:
        stream = await client.aio.models.generate_content_stream(model=ALIAS, contents="demo:tokens=3")
        return [chunk.text async for chunk in stream]

    async def run() -> list[list[str | None]]:
        client = client_of(demo)
        try:
            return await asyncio.gather(*(read(client) for _ in range(5)))
        finally:
            await client.aio.aclose()
            client.close()

    assert [len(texts) for texts in asyncio.run(run())] == [3] * 5


def test_models_are_listed_page_by_page_and_shown(client: genai.Client) -> None:
    listed = list(client.models.list(config={"page_size": 3}))
    assert {f"models/{ALIAS}", f"models/{EMBEDDER}"} <= {model.name for model in listed}
    assert len(listed) == len({model.name for model in listed}) > 3
    model = client.models.get(model=ALIAS)
    assert (model.name, model.display_name) == (f"models/{ALIAS}", ALIAS)
    assert model.supported_actions is not None
    assert "generateContent" in model.supported_actions
    with pytest.raises(ClientError) as refused:
        client.models.get(model="nothing")
    assert refused.value.code == 404


def test_models_are_listed_in_the_other_version_of_the_api_too(demo: RunningGateway) -> None:
    options = types.HttpOptions(base_url=demo.url, api_version="v1")
    with genai.Client(api_key=KEY, vertexai=False, http_options=options) as client:
        assert f"models/{ALIAS}" in {model.name for model in client.models.list()}
