"""Responses of the demo, whole and streamed: each event of a stream is what the document says, in failures too."""

import contextlib
import dataclasses
import json
from typing import Final

import httpx
import pytest

from tests.pages.documentation.openapi.conformance import EVENTS, Conformance
from tests.pages.documentation.openapi.requests import Json, Objects, Operation, operations
from tests.pages.documentation.openapi.validation import document
from tests.serving import KEY, RunningGateway

OPERATIONS: Final = {one.name: one for one in operations(document())}
STREAMS: Final = [name for name, one in OPERATIONS.items() if EVENTS in one.described["responses"]["200"]["content"]]
#: How a stream is asked for where it is not by `stream`.
FIELDS: Final[dict[str, Json]] = {"createSpeech": {"stream_format": "sse"}, "streamSpeech": {"stream_format": "sse"}}
QUERIES: Final = {"streamGenerateContent": {"alt": "sse"}, "getResponse": {"stream": "true"}}
#: Of texts, which can be told to fail.
TEXTS: Final = ["createChatCompletion", "createCompletion", "createResponse", "createMessage", "streamGenerateContent"]


def stream_of(gateway: RunningGateway, operation: Operation) -> httpx.Response:
    """The response to an operation, asked for as a stream: as much of it as comes."""
    more = {} if operation.name in QUERIES else FIELDS.get(operation.name, {"stream": True})
    text = b""
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
        request = Objects(client, OPERATIONS.values()).request(operation, more)
        streaming = client.stream(**request, params=QUERIES.get(operation.name))
        with contextlib.suppress(httpx.RemoteProtocolError), streaming as response:
            for piece in response.iter_raw():
                text += piece
    return httpx.Response(response.status_code, headers=response.headers, content=text)


def failing(operation: Operation, phrase: str) -> Operation:
    """The same operation, whose example orders a failure."""
    described = json.dumps(operation.described)
    assert "demo:tokens=3" in described
    return dataclasses.replace(operation, described=json.loads(described.replace("demo:tokens=3", phrase)))


@pytest.mark.parametrize("name", STREAMS)
def test_each_event_of_a_stream_is_what_the_document_says(gateway: RunningGateway, name: str) -> None:
    response = stream_of(gateway, OPERATIONS[name])
    assert Conformance(document()).faults(OPERATIONS[name], response) == []
    assert response.headers["content-type"].startswith(EVENTS)


@pytest.mark.parametrize("phrase", ["demo:error-event=3", "demo:cut=3"])
@pytest.mark.parametrize("name", TEXTS)
def test_an_error_inside_of_a_stream_is_what_the_document_says(gateway: RunningGateway, name: str, phrase: str) -> None:
    response = stream_of(gateway, failing(OPERATIONS[name], f"demo:tokens=8 demo:pace=0.01 {phrase}"))
    assert Conformance(document()).faults(OPERATIONS[name], response) == []
    assert "error" in response.text


BROKEN: Final = [(b'"choices"', b'"chosen"'), (b"data: [DONE]", b"data: [OVER]"), (b"data: {", b"data: ")]


@pytest.mark.parametrize(("part", "other"), BROKEN)
def test_a_broken_event_is_a_fault(gateway: RunningGateway, part: bytes, other: bytes) -> None:
    chat = OPERATIONS["createChatCompletion"]
    whole = stream_of(gateway, chat)
    broken = httpx.Response(200, headers=whole.headers, content=whole.content.replace(part, other, 1))
    assert len(Conformance(document()).faults(chat, broken)) == 1
