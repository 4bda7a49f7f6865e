"""Streams pass through an nginx that was told nothing but where the gateway is, and files' names tell no model."""

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.samples import DONE, HELLO, JSON_ANSWER, STOP, STREAM, ask, begun, question, rewritten, serving
from tests.fakes import LAST_CHUNK, Head, Send, WaitFor, chunk, json_answer, sse_answer
from tests.resources import samples as objects
from tests.server.fronts import NGINX, nginx_before
from tests.serving import ALIAS, UPSTREAM_MODEL, RunningGateway

FIRST = rewritten(HELLO)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")
def test_the_first_event_passes_an_nginx_that_only_forwards(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path / "data") as (gateway, upstream), nginx_before(gateway.port, tmp_path, bare=True) as front:
        upstream.script([*begun(HELLO), WaitFor(gate), chunk(STOP + DONE), Send(LAST_CHUNK)])
        with front.client() as client:
            gateway.chat(client, question())
            client.read_head()
            assert FIRST in client.read_until(FIRST)
            gate.set()


def head_of(gateway: RunningGateway, **fields: Any) -> Head:
    """The head of an answer."""
    return ask(gateway, question(**fields))[0]


@pytest.mark.parametrize("sent", [None, "no", "yes"])
@pytest.mark.parametrize("pieces", [None, 40], ids=["whole", "in pieces"])
def test_a_stream_is_not_to_be_buffered_whatever_its_upstream_says(
    tmp_path: Path, sent: str | None, pieces: int | None
) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM, pieces, headers={"x-accel-buffering": sent} if sent else {}))
        assert head_of(gateway).header("x-accel-buffering") == "no"


def test_an_answer_that_is_no_stream_may_be_buffered(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER, headers={"x-accel-buffering": "no"}))
        assert head_of(gateway, stream=False).header("x-accel-buffering") is None


def test_a_stream_that_begins_with_a_heartbeat_is_not_to_be_buffered(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, model={"heartbeat_interval": 0.1}) as (gateway, upstream):
        upstream.script([WaitFor(gate), *sse_answer(STREAM)])
        with gateway.client() as client:
            gateway.chat(client, question())
            assert client.read_head().header("x-accel-buffering") == "no"
            gate.set()


def test_the_events_of_an_object_are_not_to_be_buffered(tmp_path: Path) -> None:
    event = b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"resp_1"}}\n\n'
    with serving(tmp_path) as (gateway, upstream):
        objects.record_owner(gateway, "resp_1", "response")
        upstream.script(sse_answer(event))
        with gateway.client() as client:
            answer, _ = objects.ask(client, "GET", "/v1/responses/resp_1?stream=true")
        assert answer.header("x-accel-buffering") == "no"


DISPOSITION = "attachment; filename=\"%s.json\"; filename*=UTF-8''%s.json"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("pieces", [None, 40])
def test_a_files_name_does_not_tell_the_upstreams_model(tmp_path: Path, stream: bool, pieces: int | None) -> None:
    with serving(tmp_path) as (gateway, upstream):
        headers = {"content-disposition": DISPOSITION % (UPSTREAM_MODEL, UPSTREAM_MODEL.upper())}
        steps = sse_answer(STREAM, pieces, headers=headers) if stream else json_answer(JSON_ANSWER, headers=headers)
        upstream.script(steps)
        assert head_of(gateway, stream=stream).header("content-disposition") == DISPOSITION % (ALIAS, ALIAS)


@pytest.mark.parametrize("path", ["/v1/files/file-1", "/v1/files/file-1/content"])
@pytest.mark.parametrize("alias", [ALIAS, ""])
def test_a_stored_files_name_does_not_tell_the_upstreams_model(tmp_path: Path, path: str, alias: str) -> None:
    with serving(tmp_path) as (gateway, upstream):
        objects.record_owner(gateway, "file-1", alias=alias)
        body = b'{"id":"file-1","object":"file"}'
        upstream.script(json_answer(body, headers={"content-disposition": f"attachment; filename={UPSTREAM_MODEL}.x"}))
        with gateway.client() as client:
            answer, _ = objects.ask(client, "GET", path)
        assert answer.header("content-disposition") == f"attachment; filename={ALIAS}.x"
