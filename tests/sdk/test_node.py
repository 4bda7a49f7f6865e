"""OpenAI's own package for JavaScript as a client: one run of tests/node/calls.mjs, and what it read.

Skipped where node or the package is missing; `npm install` in tests/node brings the package.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.config.tree import Server
from proxy.demo.settings import demo_config
from proxy.ledger.record import UsageRecord
from tests.demo.conftest import Provider
from tests.demo.conftest import provider as provider
from tests.exchange.samples import wait_until
from tests.serving import ALIAS, KEY, RunningGateway

FOLDER = Path(__file__).parents[1] / "node"
NODE = shutil.which("node")

OLDEST = 20

if NODE is None or shutil.which("npm") is None:
    pytest.skip("node and npm are not installed", allow_module_level=True)
VERSION = subprocess.run([NODE, "--version"], capture_output=True, check=True, timeout=20, text=True).stdout.strip()
if int(VERSION.removeprefix("v").partition(".")[0]) < OLDEST:
    pytest.skip(f"node is {VERSION}, older than {OLDEST}", allow_module_level=True)
if not (FOLDER / "node_modules" / "openai").is_dir():
    pytest.skip("the openai package is not installed: npm install in tests/node", allow_module_level=True)


@dataclass
class Run:
    """What the script read in each call, and the rows of all its requests."""

    read: dict[str, Any]
    rows: list[UsageRecord]

    def row(self, endpoint: str, index: int) -> UsageRecord:
        """The row of an endpoint's request, by its place among them."""
        return [row for row in self.rows if row.endpoint == endpoint][index]


@pytest.fixture(scope="module")
def run(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    assert NODE is not None
    server = Server(data_dir=str(tmp_path_factory.mktemp("demo")), port=0, log_format="json")
    with RunningGateway(demo_config(provider.port, provider.settings, server)) as gateway:
        command = [NODE, "calls.mjs", gateway.base_url, KEY]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        wait_until(lambda: any(row.outcome == "client_closed" for row in gateway.rows()), "the bill of a stream")
        yield Run(json.loads(done.stdout), gateway.rows())


def test_a_chat_at_once(run: Run) -> None:
    answer = run.read["chat"]
    assert (answer["model"], answer["usage"]["completion_tokens"]) == (ALIAS, 3)
    row = run.row("/v1/chat/completions", 0)
    assert (row.id, row.usage_source, row.output_tokens) == (answer["request_id"], "reported", 3)


def test_a_chat_as_a_stream_has_no_usage_that_was_not_asked_for_and_is_billed(run: Run) -> None:
    chunks = run.read["chat_stream"]
    assert {chunk["model"] for chunk in chunks} == {ALIAS}
    assert not any(chunk.get("usage") for chunk in chunks)
    assert all(chunk["choices"] for chunk in chunks)
    row = run.row("/v1/chat/completions", 1)
    assert (row.outcome, row.usage_source, row.output_tokens) == ("complete", "reported", 3)


def test_a_chat_as_a_stream_ends_with_the_usage_that_was_asked_for(run: Run) -> None:
    last = run.read["chat_stream_with_usage"][-1]
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 3)


def test_the_stream_of_a_chat_is_put_together(run: Run) -> None:
    answer = run.read["chat_helper"]
    assert (answer["model"], answer["choices"][0]["finish_reason"]) == (ALIAS, "stop")
    assert answer["choices"][0]["message"]["content"] == run.read["chat"]["choices"][0]["message"]["content"]


def test_a_tool_is_called(run: Run) -> None:
    (call,) = run.read["tools"]["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "weather"
    assert list(json.loads(call["function"]["arguments"])) == ["model"]


def test_a_response_at_once(run: Run) -> None:
    answer = run.read["response"]
    assert (answer["model"], answer["status"]) == (ALIAS, "completed")
    assert answer["output_text"]


def test_a_response_as_a_stream(run: Run) -> None:
    events = run.read["response_stream"]
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    assert {event["response"]["model"] for event in events if "response" in event} == {ALIAS}
    assert run.row("/v1/responses", 1).output_tokens == 3


def test_texts_become_vectors(run: Run) -> None:
    answer = run.read["embeddings"]
    assert answer["model"] == "prometheus-atlas"
    assert [len(one["embedding"]) for one in answer["data"]] == [8, 8]


def test_the_models_are_listed_and_one_is_found(run: Run) -> None:
    assert ALIAS in [model["id"] for model in run.read["models"]]
    assert run.read["one_model"]["id"] == ALIAS


def test_audio_goes_both_ways(run: Run) -> None:
    assert "1.0 seconds" in run.read["transcription"]["text"]
    assert run.read["speech"] == "RIFF"


def test_an_image_is_made(run: Run) -> None:
    assert run.read["image"] == 1


def test_a_text_is_judged(run: Run) -> None:
    assert not run.read["moderation"]["results"][0]["flagged"]


def test_a_file_comes_back_as_it_went(run: Run) -> None:
    assert run.read["file"] == "hello"


def test_an_unknown_alias_is_not_found(run: Run) -> None:
    error = run.read["unknown_alias"]
    assert (error["name"], error["status"], error["code"]) == ("NotFoundError", 404, "model_not_found")
    assert error["requestID"]


def test_a_wrong_key_is_an_authentication_error(run: Run) -> None:
    error = run.read["wrong_key"]
    assert (error["name"], error["status"], error["code"]) == ("AuthenticationError", 401, "invalid_api_key")


def test_a_stream_that_is_given_up_is_billed_as_such(run: Run) -> None:
    assert run.read["given_up"] == ALIAS
    assert run.row("/v1/chat/completions", -1).outcome == "client_closed"


def test_no_name_of_the_upstream_s_is_read(run: Run) -> None:
    assert "demo-" not in json.dumps(run.read)
