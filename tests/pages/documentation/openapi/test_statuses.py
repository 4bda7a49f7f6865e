"""Each documented status of each operation is provoked once, and its response is what the document says.

The pairs come from the document: one that nobody can provoke fails here, and is to be taken out of the document.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest

from proxy.auth.accounts import Account
from proxy.config.tree import Config, Limits, Server
from proxy.demo.settings import DemoSettings, demo_config
from proxy.endpoints.health import MAX_STREAMS
from proxy.ledger.record import BATCH_INPUT
from tests.fakes import Body, Close, Hang, Head, RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.pages.documentation.openapi.conformance import Conformance
from tests.pages.documentation.openapi.requests import NOTHING, Json, Objects, Operation, operations
from tests.pages.documentation.openapi.validation import document
from tests.policies.limit_samples import give_account
from tests.resources.samples import record_owner
from tests.serving import KEY, RunningGateway

OTHER: Final = "prom_sk_another_key_that_is_long_enough_for_everybody"
LIMITED: Final = "prom_sk_a_limited_key_that_is_long_enough_for_everybody"
BEARER: Final = {"authorization": f"Bearer {KEY}"}
OPERATIONS: Final = tuple(operations(document()))
#: More bytes than any endpoint takes.
TOO_MANY: Final = 10**12


#: What the ids are of that lists have, or that must be of a kind.
KINDS: Final = {
    "file_id": "file",
    "batch_file_id": BATCH_INPUT,
    "batch_id": "batch",
    "vector_store_id": "vector_store",
    "assistant_id": "assistant",
    "video_id": "video",
    "job_id": "fine_tuning.job",
}


class Stage:
    """A gateway whose provider answers as it is told, and a key that owns whatever a request names."""

    def __init__(self, gateway: RunningGateway, client: httpx.Client, demo: httpx.Client) -> None:
        self.gateway = gateway
        #: Of the gateway on the demo, where requests succeed.
        self.demo = demo
        self.steps: list[Step] = []
        self._client = client

    def answer(self, _: RecordedRequest) -> list[Step]:
        """The provider's answer to any request."""
        return self.steps

    def ask(
        self, operation: Operation, more: Mapping[str, Any] = NOTHING, headers: Mapping[str, str] = BEARER, id: str = ""
    ) -> httpx.Response:
        """The response to the example of an operation, with more fields; `id` is in the place of all names."""
        request = operation.fill(lambda name: id or name_of(operation, name), more)
        return self._client.request(**request, headers=headers)

    def ask_without_body(self, operation: Operation, length: int, headers: Mapping[str, str]) -> httpx.Response:
        """The response to the head of a request that announces a body of that length, and does not send it."""
        url = operation.fill(partial(name_of, operation))["url"]
        media = next(iter(operation.bodies), "application/json")
        kind = f"{media}; boundary=b" if media.startswith("multipart") else media
        fields = {**BEARER, "content-type": kind, "content-length": str(length), **headers}
        with self.gateway.client(30.0) as client:
            client.request(operation.method, url, b"", fields)
            return response_of(*client.read_answer())


def id_of(name: str) -> str:
    """The id that the key owns of that name."""
    return name.replace("_", "-")


def name_of(operation: Operation, name: str) -> str:
    """What stands for a name in the requests to an operation: an alias, or an id."""
    return operation.model if name == "model" else id_of(name)


def response_of(head: Head, body: Body) -> httpx.Response:
    """The same as httpx has it."""
    return httpx.Response(head.status, headers=head.headers, content=body.payload)


def stage_config(port: int, data_dir: Path) -> Config:
    """The demo's, over a provider that may fail as often as it likes."""
    server = Server(data_dir=str(data_dir), port=0, log_format="json", body_idle_timeout=2.0, max_loop_lag=3_600.0)
    config = demo_config(port, DemoSettings(), server)
    upstreams = {
        name: msgspec.structs.replace(
            upstream, warm_connections=0, consecutive_5xx=0, consecutive_gateway_failures=0, retry_budget_min=1000
        )
        for name, upstream in config.upstreams.items()
    }
    return msgspec.structs.replace(config, upstreams=upstreams)


@pytest.fixture(scope="module")
def stage(demo: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        upstream = stack.enter_context(ScriptedUpstream())
        config = stage_config(upstream.port, tmp_path_factory.mktemp("stage"))
        running = stack.enter_context(RunningGateway(config))
        client = stack.enter_context(httpx.Client(base_url=running.url, timeout=30))
        working = stack.enter_context(httpx.Client(base_url=demo.url, headers=BEARER, timeout=30))
        made = Stage(running, client, working)
        upstream.handler = made.answer
        running.add_key("other", OTHER)
        give_account(
            running, LIMITED, Account("key", "key_limited", "limited", Limits(requests="1/day")), name="limited"
        )
        for name in {name for operation in OPERATIONS for name in operation.named if name != "model"}:
            record_owner(running, id_of(name), KINDS.get(name, "thread"), upstream="demo")
        yield made


def succeed(stage: Stage, operation: Operation) -> httpx.Response:
    return Objects(stage.demo, OPERATIONS).ask(operation)


def with_two_keys(stage: Stage, operation: Operation) -> httpx.Response:
    return stage.ask(operation, headers={**BEARER, "x-api-key": OTHER})


def without_a_key(stage: Stage, operation: Operation) -> httpx.Response:
    return stage.ask(operation, headers={})


def with_an_unknown_name(stage: Stage, operation: Operation) -> httpx.Response:
    """Where a request names nothing, the provider has to say it."""
    if operation.path.startswith("/v1/responses") and operation.bodies:
        return stage.ask(operation, {"previous_response_id": "resp-none"})
    if operation.named:
        return stage.ask(operation, id="none")
    if "model" in operation.example:
        return stage.ask(operation, {"model": "none"})
    return failing_at_the_provider(404)(stage, operation)


def with_a_body_that_stalls(stage: Stage, operation: Operation) -> httpx.Response:
    return stage.ask_without_body(operation, 10, {})


def with_a_large_body(stage: Stage, operation: Operation) -> httpx.Response:
    return stage.ask_without_body(operation, TOO_MANY, {})


def with_another_encoding(stage: Stage, operation: Operation) -> httpx.Response:
    return stage.ask_without_body(operation, 0, {"content-encoding": "rot13"})


def beyond_a_limit(stage: Stage, operation: Operation) -> httpx.Response:
    stage.ask(operation, headers={"authorization": f"Bearer {LIMITED}"})
    return stage.ask(operation, headers={"authorization": f"Bearer {LIMITED}"})


def failing_at_the_provider(status: int) -> Callable[[Stage, Operation], httpx.Response]:
    """A provoker whose provider answers with a status, in the shape of the operation's API."""

    def provoke(stage: Stage, operation: Operation) -> httpx.Response:
        error: Json = {"message": "Not today.", "type": "refused", "param": None, "code": "refused"}
        body: Json = {"error": error}
        if operation.path.startswith("/v1beta"):
            body = {"error": {"code": status, "message": "Not today.", "status": "REFUSED"}}
        elif operation.path.startswith("/v1/messages"):
            body = {"type": "error", "error": {"type": "refused", "message": "Not today."}}
        stage.steps = json_answer(body, status)
        return stage.ask(operation)

    return provoke


def with_a_provider_that_leaves(stage: Stage, operation: Operation) -> httpx.Response:
    stage.steps = [Close()]
    return stage.ask(operation)


def with_little_patience(stage: Stage, operation: Operation) -> httpx.Response:
    stage.steps = [Hang()]
    return stage.ask(operation, headers={**BEARER, "x-prism-request-timeout": "50"})


def going_down(stage: Stage, operation: Operation) -> httpx.Response:
    stage.gateway.gateway.readiness.draining = True
    return stage.ask(operation)


def beside_many_streams(stage: Stage, operation: Operation) -> httpx.Response:
    with ExitStack() as stack:
        # Each lasts for a second: on a machine that is very busy more of them are needed.
        for _ in range(20 * MAX_STREAMS):
            client = stack.enter_context(stage.gateway.client(30.0))
            client.request("GET", operation.path)
            if client.read_head().status == 503:
                break
        return stage.ask(operation)


Provoker = Callable[[Stage, Operation], httpx.Response]
PROVOKERS: Final[Mapping[int, Provoker]] = {
    200: succeed,
    400: with_two_keys,
    401: without_a_key,
    404: with_an_unknown_name,
    408: with_a_body_that_stalls,
    413: with_a_large_body,
    415: with_another_encoding,
    429: beyond_a_limit,
    502: with_a_provider_that_leaves,
    504: with_little_patience,
    **{status: failing_at_the_provider(status) for status in (409, 422, 500, 503, 529)},
}
#: Of operations that have no provider.
OF_ONE: Final[Mapping[tuple[str, int], Provoker]] = {
    ("ready", 503): going_down,
    ("ready1", 503): going_down,
    ("healthStream", 503): beside_many_streams,
}


def provoker(operation: Operation, status: int) -> Provoker | None:
    """What makes an operation respond with a status; None for nothing."""
    return OF_ONE.get((operation.name, status)) or PROVOKERS.get(status)


def unprovoked(described: Json) -> list[tuple[str, int]]:
    """The pairs of operation and status that nothing provokes."""
    return [
        (operation.name, status)
        for operation in operations(described)
        for status in operation.statuses
        if provoker(operation, status) is None
    ]


def test_each_documented_status_has_a_provoker() -> None:
    assert unprovoked(document()) == []


def test_a_status_without_a_provoker_is_found() -> None:
    described = document()
    described["paths"]["/v1/files"]["get"]["responses"]["418"] = {"description": "It is a teapot."}
    assert unprovoked(described) == [("listFiles", 418)]


@pytest.mark.parametrize("status", sorted({status for one in OPERATIONS for status in one.statuses}))
def test_each_operation_responds_with_each_of_its_statuses(stage: Stage, status: int) -> None:
    conformance = Conformance(document())
    having = [one for one in OPERATIONS if status in one.statuses]

    def wrong(operation: Operation) -> list[str]:
        provoke = provoker(operation, status)
        assert provoke is not None
        response = provoke(stage, operation)
        if response.status_code != status:
            return [f"the status is {response.status_code}: {response.text[:200]}"]
        return conformance.faults(operation, response)

    # All at once: each may wait for a timeout.
    with ThreadPoolExecutor(len(having)) as pool:
        found = dict(zip([one.name for one in having], pool.map(wrong, having), strict=True))
    assert {name: faults for name, faults in found.items() if faults} == {}


#: Of heads that are refused before an operation is known, by what the document's text says.
HEADS: Final = {
    400: "GET /v1/models HTTP/1.1\r\nhost: a\r\nhost: b",
    405: "DELETE /v1/chat/completions HTTP/1.1\r\nhost: a",
    408: "POST /v1/files HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-type: multipart/form-data; boundary=b",
    414: f"GET /{'a' * 70_000} HTTP/1.1\r\nhost: a",
    417: "GET /v1/models HTTP/1.1\r\nhost: a\r\nexpect: wonders",
    431: f"GET /v1/models HTTP/1.1\r\nhost: a\r\nx: {'a' * 70_000}",
    501: "POST /v1/files HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked",
}


def test_each_status_of_the_text_is_known() -> None:
    text = document()["info"]["description"]
    assert {int(status) for status in re.findall(r"\b[45]\d\d\b", text)} == HEADS.keys()


@pytest.mark.parametrize("status", HEADS)
def test_what_is_refused_before_it_is_a_request_has_openais_envelope(stage: Stage, status: int) -> None:
    with stage.gateway.client(30.0) as client:
        client.send(f"{HEADS[status]}\r\nauthorization: Bearer {KEY}\r\n\r\n".encode())
        head, body = client.read_answer()
    assert head.status == status
    error = {"$ref": "#/components/schemas/Error"}
    assert list(Conformance(document()).errors(error, json.loads(body.payload))) == []
