"""The process's own log: one line for each message, whatever words are in it, and no word of a provider's."""

import json
import logging
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.observability.messages import MAX_LINE_CHARACTERS, MAX_TRACEBACK_LINES, Formatter, printable
from tests.exchange.samples import ROLE, ask, ended, question, serving
from tests.fakes import json_answer
from tests.resources import samples as objects
from tests.serving import UPSTREAM_MODEL

FORGED = 'x\n{"time":"2026-01-31","key":"root","cost_usd":"0"}\r\nERROR forged \x1b[31m\x9b\u2028\u202eline'


def record(message: object, *args: object, **fields: Any) -> logging.LogRecord:
    """A record as a logger makes it."""
    return logging.LogRecord("proxy.app", logging.WARNING, "app.py", 1, message, args, fields.get("exc_info"))


def raised(error: BaseException, cause: BaseException | None = None) -> Any:
    """An exception with its traceback."""
    try:
        raise error from cause
    except BaseException:  # noqa: BLE001 (it is what the test is about)
        return sys.exc_info()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\tb", "a\\x0d\\x09b"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x00\x7f\x85\x9b", "\\x00\\x7f\\x85\\x9b"),
        ("\u2028\u2029\u202e\u2066\u200f\u061c\ufeff", "\\u2028\\u2029\\u202e\\u2066\\u200f\\u061c\\ufeff"),
        ("\ud800", "\\ud800"),
        ("é 漢 \U0001f600 \\n", "é 漢 \U0001f600 \\n"),
    ],
)
def test_what_is_no_letter_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert Formatter().format(record("%s", text)) == f"WARNING proxy.app: {shown}"
    assert Formatter("worker 1").format(record(text)) == f"WARNING worker 1 proxy.app: {shown}"


@given(st.text(), st.text())
def test_a_message_is_one_line(message: str, argument: str) -> None:
    line = Formatter().format(record("%s said %s", message, argument))
    assert len(line.splitlines()) == 1
    assert not {unicodedata.category(character) for character in line} & {"Cc", "Cs", "Zl", "Zp"}


def test_a_line_is_bounded() -> None:
    assert len(Formatter().format(record("x" * 1_000_000))) < MAX_LINE_CHARACTERS + 10


def test_a_message_whose_arguments_do_not_fit_is_not_lost() -> None:
    assert "took %d" in Formatter().format(record("took %d", FORGED))
    assert "\n" not in Formatter().format(record("took %d", FORGED))


@pytest.mark.parametrize(
    "error",
    [
        raised(ValueError(FORGED)),
        raised(KeyError(FORGED), RuntimeError(FORGED)),
        raised(ExceptionGroup(FORGED, [ValueError(FORGED)])),
        raised(SyntaxError(FORGED)),
    ],
)
def test_a_traceback_has_lines_and_nothing_in_it_is_raw(error: Any) -> None:
    error[1].add_note(FORGED)
    lines = Formatter().format(record("failed", exc_info=error)).splitlines()
    assert lines[0] == "WARNING proxy.app: failed"
    assert any("test_messages.py" in line for line in lines)
    assert not any(line.startswith(("{", "ERROR")) for line in lines)
    assert all(printable(line) == line for line in lines)
    assert any("forged" in line for line in lines)


def test_a_traceback_is_bounded() -> None:
    error: BaseException = ValueError("first")
    for number in range(MAX_TRACEBACK_LINES):
        error = raised(ValueError(str(number)), error)[1]
    lines = Formatter().format(record("failed", exc_info=(type(error), error, error.__traceback__))).splitlines()
    assert len(lines) == MAX_TRACEBACK_LINES + 2
    assert lines[-1] == f"ValueError: {MAX_TRACEBACK_LINES - 1}"


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the gateway logged of its upstreams."""
    return [Formatter().format(one) for one in caplog.records if one.name == "proxy.app"]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
def test_a_providers_words_forge_no_line_and_are_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    error = {"error": {"message": FORGED, "type": "server_error", "code": "slow_down"}}
    with serving(tmp_path) as (gateway, upstream):
        event = b"data: " + json.dumps(error).encode() + b"\n\n"
        upstream.script(ended(event) if stream else json_answer(error))
        _, body = ask(gateway, question(stream=stream))
    assert "forged" in json.loads(body.payload)["error"]["message"]
    (line,) = lines_of(caplog)
    message = "The model's provider reported an error. (status 200, slow_down, server_error)"
    assert line.endswith(f"upstream vendor1/{UPSTREAM_MODEL}: {message}")


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (json_answer({"error": {"message": FORGED, "type": "t", "code": "c"}}, 400), "status 400, c, t"),
        (json_answer({"message": FORGED, "type": "invalid_model"}, 422), "status 422, invalid_model"),
        (json_answer(FORGED.encode(), 503), "status 503"),
        (json_answer({"error": {"message": FORGED, "code": "invalid_api_key"}}, 401), "status 401, invalid_api_key"),
        (json_answer(b"<html>", 404, {"content-type": "text/html"}), "status 404"),
        ([*ended(ROLE)[:-1], *ended()[1:]], "not whole"),
    ],
    ids=["own shape", "other shape", "failure", "credential", "page", "not whole"],
)
def test_every_failed_attempt_has_a_line_with_its_target_and_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, steps: Any, reason: str
) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(steps)
        ask(gateway)
    (line,) = lines_of(caplog)
    assert f": upstream vendor1/{UPSTREAM_MODEL}: " in line
    assert line.endswith(f"({reason})")
    assert "forged" not in line


def test_a_failure_that_is_retried_has_its_line_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer({"error": {"message": FORGED, "type": "server_error"}}, 500))
        upstream.script(json_answer({"choices": [], "model": "x"}))
        ask(gateway, question(stream=False))
    (line,) = lines_of(caplog)
    assert line.endswith("(status 500, server_error)")


@pytest.mark.parametrize("status", [200, 404, 401])
def test_an_error_about_an_object_has_its_line(tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int) -> None:
    with serving(tmp_path) as (gateway, upstream):
        objects.record_owner(gateway, "file-1")
        upstream.script(json_answer({"error": {"message": FORGED, "code": "gone"}}, status))
        objects.ask_json(gateway, "GET", "/v1/files/file-1")
    (line,) = lines_of(caplog)
    assert ": upstream vendor1: " in line
    assert line.endswith(f"(status {status}, gone)")
    assert "forged" not in line


def test_a_process_writes_all_its_loggers_by_it() -> None:
    program = (
        "import logging; from proxy.observability.messages import configure_logging; configure_logging('worker 2');"
        "logging.getLogger('uvicorn.error').error('a\\nb'); logging.getLogger('proxy.x').info('c\\x1b');"
        "logging.getLogger('asyncio').debug('not this')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines() == ["ERROR worker 2 uvicorn.error: a\\nb", "INFO worker 2 proxy.x: c\\x1b"]
