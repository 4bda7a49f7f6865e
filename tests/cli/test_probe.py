"""The GET that `doctor` sends to an upstream, and its bounds."""

from collections.abc import Iterable

import pytest

from proxy.cli import probe
from tests.cli.test_verdicts import LIST, SECRET, answering, one
from tests.fakes import Hang, RecordedRequest, Send, Step, head, json_answer


def test_the_question_is_the_one_that_serve_asks() -> None:
    asked: list[RecordedRequest] = []

    def handler(request: RecordedRequest) -> Iterable[Step]:
        asked.append(request)
        return json_answer(LIST)

    one(handler, "/v1", query={"api-version": "7"}, headers={"x-extra": "1"})
    (request,) = asked
    assert (request.method, request.target) == ("GET", "/v1/models?api-version=7")
    assert request.header("authorization") == f"Bearer {SECRET}"
    assert request.header("x-extra") == "1"


def test_silence_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "RESPONSE_SECONDS", 0.2)
    check = one(lambda _: [Hang()])
    assert (check.state, "did not answer GET" in check.message) == ("fail", True)


def test_an_answer_that_never_ends_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "RESPONSE_SECONDS", 0.2)
    check = one(lambda _: [head(200, {"content-length": "100"}), Send(b"{"), Hang()])
    assert check.state == "fail"


def test_an_answer_of_any_length_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MAX_RESPONSE_BYTES", 1_000)
    assert one(answering(b"{" + b" " * 100_000)).state == "ok"
