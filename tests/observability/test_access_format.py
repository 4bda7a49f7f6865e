"""The access line: what it says, and that it is one line."""

import json
from typing import Any

import pytest

from proxy.ledger.record import UsageRecord
from proxy.observability.access_format import dollars, json_lines, text_lines
from proxy.observability.schemas import Access
from tests.observability.requests import FINAL, access, changed


def text_line(request: Access, width: int = 0, coloured: bool = False) -> str:
    (line,) = text_lines([request], width, coloured)
    return line


def json_line(request: Access) -> str:
    (line,) = json_lines([request])
    return line


def test_the_text_line_has_the_request_its_tokens_its_price_and_its_times() -> None:
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


# narrow terminals

USUAL = changed(input_tokens=1_234, output_tokens=567, cost=3_852_100, ttft=812_000)


def rest(line: str) -> str:
    return line.partition(" ")[2]


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (100, "POST /v1/chat/completions 200 prometheus-core 1234+567 $0.0038521 812ms +0.12ms laptop"),
        (90, "POST /v1/chat/completions 200 prometheus-core 1234+567 $0.0038521 812ms laptop"),
        (83, "/v1/chat/completions 200 prometheus-core 1234+567 $0.0038521 812ms laptop"),
        (80, "/chat/completions 200 prometheus-core 1234+567 $0.0038521 812ms laptop"),
        (78, "/chat/completi.. 200 prometheus-core 1234+567 $0.0038521 812ms laptop"),
    ],
)
def test_a_line_is_as_short_as_the_terminal_is_narrow(width: int, line: str) -> None:
    short = text_line(USUAL, width)
    assert rest(short) == line
    assert len(short) <= width


def test_where_there_is_room_the_line_is_the_whole_one() -> None:
    whole = text_line(USUAL)
    assert text_line(USUAL, len(whole)) == whole
    assert text_line(USUAL, len(whole) - 1) != whole


def test_a_short_line_says_what_is_estimated_unpriced_and_unfinished() -> None:
    line = text_line(changed(usage_source="estimated", cost=None, ttft=None, outcome="client_closed"), 80)
    assert rest(line) == "/chat/comp.. 200 prometheus-core ~9+2 unpriced 56.8ms laptop client_closed"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/" + "x" * 200])
def test_a_short_line_of_another_request_fits_too(path: str) -> None:
    line = text_line(access(None, method="GET", path=path), 44)
    assert len(line) <= 44
    assert line.endswith(" 200 56.8ms laptop")


@pytest.mark.parametrize("width", [0, 80])
def test_no_text_moves_anything_on_a_terminal(width: int) -> None:
    for line in (
        text_line(access(None, path="/v1/\x9b2J\x1b[31m"), width),
        text_line(changed(alias="a\x1b[2Jb\u202e"), width),
    ):
        assert line.isprintable()


def test_a_model_that_is_no_alias_is_named_in_quotes() -> None:
    bill = {"alias": "", "requested_model": 'gpt-4o  $0.00 "key" root'}
    assert '  200  "gpt-4o  $0.00 \\"key\\" root"  in 9 out 2  ' in text_line(changed(**bill))
    assert json.loads(json_line(changed(**bill)))["requested_model"] == bill["requested_model"]
    short = text_line(changed(alias="", requested_model="x" * 200), 80)
    assert "xxx.. " in short


# colours


@pytest.mark.parametrize(("status", "code"), [(200, "32"), (304, "36"), (404, "33"), (503, "31")])
@pytest.mark.parametrize("bill", [FINAL, None])
@pytest.mark.parametrize("width", [0, 80])
def test_the_status_has_the_colour_of_its_class(status: int, code: str, bill: UsageRecord | None, width: int) -> None:
    request = access(bill, status=status)
    line = text_line(request, width, True)
    assert f" \x1b[{code}m{status}\x1b[0m " in line
    assert line.replace(f"\x1b[{code}m", "").replace("\x1b[0m", "") == text_line(request, width)


def test_an_answer_that_did_not_end_well_is_seen() -> None:
    assert text_line(changed(outcome="upstream_cut"), 0, True).endswith("  \x1b[31mupstream_cut\x1b[0m")
