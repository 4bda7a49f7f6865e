"""The access line: what it says, and that it is one line."""

import json
from typing import Any

import pytest

from proxy.access.lines import dollars, json_line, text_line
from tests.access.requests import access, changed


def test_the_text_line_tells_the_request_its_tokens_its_price_and_its_times() -> None:
    clock, _, rest = text_line(access()).partition("  ")
    assert len(clock) == 8
    assert rest == (
        "POST  /v1/chat/completions  200  prometheus-core  in 9 out 2  $0.0000187  "
        "ttft 12.3 ms  total 56.8 ms  overhead 0.12 ms  key laptop"
    )


def test_the_text_line_of_another_request_is_short() -> None:
    line = text_line(access(None, method="GET", path="/v1/models", key=""))
    assert line.partition("  ")[2] == "GET  /v1/models  200  total 56.8 ms"


def test_the_text_line_says_what_is_estimated_unpriced_and_unfinished() -> None:
    line = text_line(changed(usage_source="estimated", cost=None, ttft=None, outcome="client_closed"))
    assert "(estimated)" in line
    assert "unpriced" in line
    assert "ttft" not in line
    assert line.endswith("client_closed")


def test_the_json_line_is_one_object_with_everything() -> None:
    assert json.loads(json_line(access())) == {
        "time": "2023-11-14T22:13:20.000+00:00",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "request_id": "req_1",
        "key": "laptop",
        "alias": "prometheus-core",
        "stream": True,
        "outcome": "complete",
        "attempts": 1,
        "input_tokens": 9,
        "output_tokens": 2,
        "usage_source": "reported",
        "cost_usd": "0.0000187",
        "ttft_ms": 12.34,
        "total_ms": 56.78,
        "overhead_ms": 0.12,
        "error_code": None,
    }


def test_the_json_line_of_another_request_has_no_bill() -> None:
    line = json.loads(json_line(access(None, key="")))
    assert (line["key"], line["total_ms"]) == (None, 56.78)
    assert "cost_usd" not in line


@pytest.mark.parametrize("form", [text_line, json_line])
def test_a_line_is_one_line_whatever_the_path_holds(form: Any) -> None:
    line = form(access(None, path="/v1/a\x85b", key="a key"))
    assert "\n" not in line
    assert "\r" not in line


def test_an_unpriced_request_is_not_free() -> None:
    assert json.loads(json_line(changed(cost=None)))["cost_usd"] is None
    assert json.loads(json_line(changed(cost=0)))["cost_usd"] == "0.00"


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (100_000_000, "0.10"),
        (1_500_000_000, "1.50"),
        (12_345_678_901, "12.345678901"),
        (10**18, "1000000000.00"),
    ],
)
def test_money_is_exact(nano: int, text: str) -> None:
    assert dollars(nano) == text
