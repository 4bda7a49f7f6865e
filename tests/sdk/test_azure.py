"""OpenAI's SDK as clients of Azure use it, and their raw requests: the path names the alias, whatever the body says."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AzureOpenAI

from proxy.config.tree import Server
from proxy.demo.settings import demo_config
from tests.demo.conftest import Provider
from tests.demo.conftest import provider as provider
from tests.endpoints.forms import END, FORM, file, wav
from tests.fakes import Head
from tests.serving import ALIAS, KEY, RunningGateway

FEW = "prom_sk_a_key_with_a_right_to_one_alias_only"
LITE = "prometheus-lite"
VERSION = "2024-10-21"
CHAT = {"messages": [{"role": "user", "content": "demo:tokens=3"}]}


@pytest.fixture(scope="module")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    server = Server(data_dir=str(tmp_path_factory.mktemp("demo")), port=0, log_format="json")
    with RunningGateway(demo_config(provider.port, provider.settings, server)) as running:
        running.add_key("few", FEW, [LITE])
        yield running


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[AzureOpenAI]:
    with AzureOpenAI(azure_endpoint=gateway.url, api_key=KEY, api_version=VERSION, max_retries=0) as one:
        yield one


def ask(
    gateway: RunningGateway, path: str, body: bytes, kind: str = "application/json", key: str = KEY
) -> tuple[Head, Any]:
    with gateway.client() as raw:
        raw.request("POST", f"{path}?api-version={VERSION}", body, {"api-key": key, "content-type": kind})
        answer, got = raw.read_answer()
    return answer, json.loads(got.payload)


def test_a_chat(gateway: RunningGateway, client: AzureOpenAI) -> None:
    answer = client.chat.completions.create(model=ALIAS, messages=[{"role": "user", "content": "demo:tokens=3"}])
    assert (answer.model, bool(answer.choices[0].message.content)) == (ALIAS, True)
    row = gateway.rows()[-1]
    assert (row.alias, row.endpoint, row.usage_source, row.output_tokens) == (
        ALIAS,
        "/v1/chat/completions",
        "reported",
        3,
    )


def test_a_chat_as_a_stream(gateway: RunningGateway, client: AzureOpenAI) -> None:
    events = client.chat.completions.create(
        model=ALIAS, messages=[{"role": "user", "content": "demo:tokens=3"}], stream=True
    )
    assert "".join(one.choices[0].delta.content or "" for one in events if one.choices)
    assert gateway.rows()[-1].outcome == "complete"


def test_a_deployment_that_is_set_for_all_requests(gateway: RunningGateway) -> None:
    with AzureOpenAI(
        azure_endpoint=gateway.url, azure_deployment=ALIAS, api_key=KEY, api_version=VERSION, max_retries=0
    ) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    assert answer.model == ALIAS


def test_everything_else_that_azure_has_below_deployments(client: AzureOpenAI) -> None:
    assert client.completions.create(model=ALIAS, prompt="demo:tokens=3").model == ALIAS
    assert len(client.embeddings.create(model="prometheus-atlas", input=["one", "two"]).data) == 2
    sound = ("a.wav", wav())
    assert client.audio.transcriptions.create(model="prometheus-echo", file=sound).text


def test_what_azure_has_beside_its_deployments(client: AzureOpenAI) -> None:
    assert client.responses.create(model=ALIAS, input="demo:tokens=3").model == ALIAS
    assert ALIAS in [model.id for model in client.models.list()]
    made = client.files.create(file=("note.txt", b"hello"), purpose="assistants")
    assert client.files.retrieve(made.id).id == made.id


def test_errors_are_raised_as_those_of_azure(gateway: RunningGateway, client: AzureOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nothing", messages=[{"role": "user", "content": "hi"}])
    with (
        AzureOpenAI(azure_endpoint=gateway.url, azure_ad_token="eyJwrong", api_version=VERSION, max_retries=0) as other,
        pytest.raises(openai.AuthenticationError),
    ):
        other.chat.completions.create(model=ALIAS, messages=[{"role": "user", "content": "hi"}])


@pytest.mark.parametrize("model", [{}, {"model": "gpt-4o"}, {"model": ALIAS}, {"model": LITE}, {"model": None}])
def test_the_path_names_the_model_whatever_the_body_says(gateway: RunningGateway, model: dict[str, object]) -> None:
    body = json.dumps({**model, **CHAT}).encode()
    answer, got = ask(gateway, f"/openai/deployments/{ALIAS}/chat/completions", body)
    assert (answer.status, got["model"]) == (200, ALIAS)
    assert gateway.rows()[-1].alias == ALIAS


@pytest.mark.parametrize("model", [{}, {"model": LITE}])
def test_a_body_gives_no_right_to_the_path_s_model(gateway: RunningGateway, model: dict[str, object]) -> None:
    body = json.dumps({**model, **CHAT}).encode()
    answer, got = ask(gateway, f"/openai/deployments/{ALIAS}/chat/completions", body, key=FEW)
    assert (answer.status, got["error"]["code"]) == (404, "model_not_found")
    assert ask(gateway, f"/openai/deployments/{LITE}/chat/completions", body, key=FEW)[0].status == 200


@pytest.mark.parametrize("field", [b"", b"gpt-4o-transcribe"])
@pytest.mark.parametrize("first", [True, False])
def test_the_path_names_the_model_of_a_form_too(gateway: RunningGateway, field: bytes, first: bool) -> None:
    """Azure's own examples send a file and nothing else."""
    name = f'--{FORM.split("boundary=")[1]}\r\ncontent-disposition: form-data; name="model"\r\n\r\n'.encode()
    part = name + field + b"\r\n" if field else b""
    body = part + file(wav()) if first else file(wav()) + part
    answer, got = ask(gateway, "/openai/deployments/prometheus-echo/audio/transcriptions", body + END, FORM)
    assert (answer.status, bool(got["text"])) == (200, True)
    assert gateway.rows()[-1].alias == "prometheus-echo"


def test_another_method_is_refused_with_the_one_to_use(gateway: RunningGateway) -> None:
    with gateway.client() as raw:
        raw.request("GET", f"/openai/deployments/{ALIAS}/chat/completions", headers={"api-key": KEY})
        answer, _ = raw.read_answer()
    assert (answer.status, answer.header("allow")) == (405, "POST")
