"""The access log: what its lines never contain, and that an output that blocks delays no response."""

import fcntl
import io
import json
import os
import pty
import select
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.observability import access_log as access_log
from proxy.observability.access_log import AccessLog
from tests.fakes import ScriptedUpstream, json_answer
from tests.observability.requests import access
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway, simple_config


class Stuck(io.StringIO):
    """A stream that takes nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.release = threading.Event()

    def writelines(self, lines: Any) -> None:
        self.entered.set()
        assert self.release.wait(10)
        super().writelines(lines)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def logging_to(stream: io.StringIO, form: Any = "json") -> Iterator[AccessLog]:
    log = AccessLog(stream, form)
    try:
        yield log
    finally:
        if isinstance(stream, Stuck):
            stream.release.set()
        log.close()


def test_lines_are_written_in_their_order() -> None:
    stream = io.StringIO()
    with logging_to(stream) as log:
        for number in range(3):
            log.add(access(request_id=f"req_{number}"))
    assert [json.loads(line)["request_id"] for line in stream.getvalue().splitlines()] == ["req_0", "req_1", "req_2"]


@pytest.mark.parametrize(
    ("stream", "form", "is_json"),
    [
        (io.StringIO(), "auto", True),
        (Terminal(), "auto", False),
        (Terminal(), "json", True),
        (io.StringIO(), "text", False),
    ],
)
def test_the_form_follows_the_stream_unless_it_is_named(stream: io.StringIO, form: Any, is_json: bool) -> None:
    with logging_to(stream, form) as log:
        log.add(access())
    assert stream.getvalue().startswith("{") is is_json


def test_a_stream_that_blocks_delays_no_request() -> None:
    stream = Stuck()
    with logging_to(stream) as log:
        log.add(access(request_id="req_0"))
        log.flush()
        assert stream.entered.wait(5)
        for number in range(1, 4):
            log.add(access(request_id=f"req_{number}"))
            log.flush()
        assert stream.getvalue() == ""
    assert len(stream.getvalue().splitlines()) == 4


def test_lines_beyond_the_bound_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MAX_WAITING", 3)
    stream = Stuck()
    with logging_to(stream) as log:
        log.add(access(request_id="req_first"))
        log.flush()
        assert stream.entered.wait(5)
        for number in range(10):
            log.add(access(request_id=f"req_{number}"))
    first, lost, *rest = stream.getvalue().splitlines()
    assert json.loads(first)["request_id"] == "req_first"
    assert "7 access lines were lost" in lost
    assert [json.loads(line)["request_id"] for line in rest] == ["req_7", "req_8", "req_9"]


def test_the_notice_of_lost_lines_is_json_where_lines_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MAX_WAITING", 1)
    stream = io.StringIO()
    with logging_to(stream) as log:
        for _ in range(3):
            log.add(access())
    notice, _ = stream.getvalue().splitlines()
    assert json.loads(notice)["lost"] == 2


def test_a_stream_that_is_closed_does_not_end_serving(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    stream.close()
    with logging_to(stream) as log:
        log.add(access())
        log.flush()
    assert "the access log cannot be written" in capsys.readouterr().err


def test_nothing_waiting_writes_nothing() -> None:
    stream = io.StringIO()
    with logging_to(stream) as log:
        log.flush()
    assert stream.getvalue() == ""


# terminals


@contextmanager
def terminal(columns: int) -> Iterator[tuple[Any, int]]:
    """A pseudo terminal: a stream to write to, and the descriptor of who watches it."""
    watching, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(writing, "w") as stream:
        try:
            yield stream, watching
        finally:
            os.close(watching)


def shown(columns: int, form: Any, monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with terminal(columns) as (stream, watching):
        with logging_to(stream, form) as log:
            log.add(access())
        return os.read(watching, 4096).decode()


def test_a_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(shown(80, "auto", monkeypatch, NO_COLOR="1").rstrip()) <= 80
    assert "overhead 0.12 ms" in shown(200, "auto", monkeypatch)


def test_a_terminal_that_does_not_say_its_width_has_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(shown(0, "auto", monkeypatch, NO_COLOR="1").rstrip()) <= 80


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"FORCE_COLOR": "0"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
    ],
)
def test_a_terminal_has_colours_unless_they_are_disabled(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ("\x1b[32m200" in shown(80, "auto", monkeypatch, **environment)) is coloured


def test_json_has_no_colour_whatever_is_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    line = shown(80, "json", monkeypatch, FORCE_COLOR="1")
    assert "\x1b" not in line
    assert json.loads(line)["key"] == "laptop"


@pytest.mark.parametrize(("environment", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_a_file_has_the_whole_line_and_no_colour(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    with logging_to(stream, "text") as log:
        log.add(access())
    assert "overhead 0.12 ms" in stream.getvalue()
    assert ("\x1b" in stream.getvalue()) is coloured


# the gateway's


def test_no_secret_and_no_text_of_a_request_is_in_its_line(tmp_path: Path) -> None:
    canaries = ("canary-prompt", "canary-answer", "canary-cookie", "canary-query")
    answer = {"model": "m", "choices": [{"message": {"content": "canary-answer"}, "finish_reason": "stop"}]}
    body = json.dumps({"model": ALIAS, "messages": [{"role": "user", "content": "canary-prompt"}]}).encode()
    with (
        ScriptedUpstream(lambda _: json_answer(answer)) as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway,
        gateway.client() as client,
    ):
        headers = {"authorization": f"Bearer {KEY}", "cookie": "canary-cookie", "content-type": "application/json"}
        for target in ("/v1/chat/completions?a=canary-query", "/v1/nothing?a=canary-query"):
            client.request("POST", target, body, headers)
            client.read_answer()
        client.request("GET", "/v1/models", b"", {"authorization": "Bearer prom_sk_wrong_canary-cookie"})
        client.read_answer()
    lines = gateway.log.getvalue().splitlines()
    assert [json.loads(line)["status"] for line in lines] == [200, 404, 401]
    for secret in (*canaries, KEY, "sk-upstream-secret", "prom_sk_", UPSTREAM_MODEL):
        assert secret not in gateway.log.getvalue()


@pytest.mark.parametrize(
    ("path", "secret", "status", "key"),
    [
        ("/v1/models", KEY, 200, "test"),
        (f"/v1/models/{ALIAS}", KEY, 200, "test"),
        ("/v1/models/none", KEY, 404, "test"),
        ("/v1/models", "prom_sk_wrong", 401, None),
        ("/livez", KEY, 200, None),
    ],
)
def test_a_list_of_models_has_the_name_of_its_key(
    path: str, secret: str, status: int, key: str | None, tmp_path: Path
) -> None:
    with (
        RunningGateway(simple_config(tmp_path, "http://127.0.0.1:1")) as gateway,
        gateway.client() as client,
    ):
        client.request("GET", path, b"", {"authorization": f"Bearer {secret}"})
        client.read_answer()
    (line,) = gateway.log.getvalue().splitlines()
    assert (json.loads(line)["status"], json.loads(line)["key"]) == (status, key)


def test_an_output_that_is_not_read_does_not_delay_the_shutdown(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as stream:
        log = AccessLog(stream, "json")
        for number in range(1_000):
            log.add(access(request_id=f"req_{number}"))
        log.flush()
        log.close()
    assert "are lost" in capsys.readouterr().err


def test_lines_of_several_processes_are_not_mixed() -> None:
    class Watched(io.StringIO):
        """Notes what is written in one piece."""

        def __init__(self) -> None:
            super().__init__()
            self.pieces: list[str] = []
            self._seen = 0

        def flush(self) -> None:
            self.pieces.append(self.getvalue()[self._seen :])
            self._seen = len(self.getvalue())

    stream = Watched()
    log = AccessLog(stream, "json")
    for number in range(100):
        log.add(access(request_id=f"req_{number}"))
    log.close()
    assert len(stream.pieces) > 1
    assert all(piece.endswith("\n") and len(piece.encode()) <= select.PIPE_BUF for piece in stream.pieces)
