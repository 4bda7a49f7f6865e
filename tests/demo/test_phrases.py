"""Reading of the `demo:` phrases."""

import pytest

from proxy.demo.faults import DemoFaults, parse_faults, without_phrases
from proxy.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("no phrase in here", DemoFaults()),
        ("demo:error=429", DemoFaults(error=429)),
        ("demo:delay=2.5", DemoFaults(delay=2.5)),
        ("demo:delay=0", DemoFaults(delay=0)),
        ("demo:pace=0.2", DemoFaults(pace=0.2)),
        ("demo:tokens=500", DemoFaults(tokens=500)),
        ("demo:cut=0", DemoFaults(cut=0)),
        ("demo:stall=5", DemoFaults(stall=5)),
        ("demo:error-event=3", DemoFaults(error_event=3)),
        ("demo:call=get_weather", DemoFaults(call="get_weather")),
        ("demo:call=look.", DemoFaults(call="look")),
        ("demo:no-usage", DemoFaults(no_usage=True)),
        ("demo:no-done", DemoFaults(no_done=True)),
        ("Say hi, demo:cut=5, please; demo:no-usage.", DemoFaults(cut=5, no_usage=True)),
        ("Wait demo:delay=2.", DemoFaults(delay=2)),
        ("demo:cut=1 demo:cut=2", DemoFaults(cut=2)),
        ("Here is a demo: error handling", DemoFaults()),
        ("a demo:video of it", DemoFaults()),
        ("pandemo:error=429", DemoFaults()),
    ],
)
def test_phrases_are_read(text: str, faults: DemoFaults) -> None:
    assert parse_faults(text) == faults


@pytest.mark.parametrize(
    "text",
    [
        "demo:error=399",
        "demo:error=600",
        "demo:error=4.5",
        "demo:error=",
        "demo:delay=601",
        "demo:delay=-1",
        "demo:pace=fast",
        "demo:tokens=0",
        "demo:tokens=100001",
        "demo:cut=x",
        "demo:cut=٣",
        "demo:eror=429",
    ],
)
def test_a_wrong_phrase_is_refused_with_the_list_of_right_ones(text: str) -> None:
    with pytest.raises(InvalidRequest, match="demo:error-event=3"):
        parse_faults(text)


def test_a_very_long_text_is_searched_at_both_ends_only() -> None:
    middle = " word" * 10_000
    assert parse_faults(f"demo:cut=1{middle} demo:stall=2{middle} demo:no-done") == DemoFaults(cut=1, no_done=True)


def test_phrases_are_taken_out_of_the_text() -> None:
    assert without_phrases("Say  demo:cut=5 hi demo:no-done") == "Say hi"
