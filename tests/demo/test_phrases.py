"""Reading of the `demo:` phrases."""

import pytest

from proxy.demo.phrases import Orders, read_orders, without_phrases
from proxy.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "orders"),
    [
        ("no phrase in here", Orders()),
        ("demo:error=429", Orders(error=429)),
        ("demo:delay=2.5", Orders(delay=2.5)),
        ("demo:delay=0", Orders(delay=0)),
        ("demo:pace=0.2", Orders(pace=0.2)),
        ("demo:tokens=500", Orders(tokens=500)),
        ("demo:cut=0", Orders(cut=0)),
        ("demo:stall=5", Orders(stall=5)),
        ("demo:error-event=3", Orders(error_event=3)),
        ("demo:call=get_weather", Orders(call="get_weather")),
        ("demo:call=look.", Orders(call="look")),
        ("demo:no-usage", Orders(no_usage=True)),
        ("demo:no-done", Orders(no_done=True)),
        ("Say hi, demo:cut=5, please; demo:no-usage.", Orders(cut=5, no_usage=True)),
        ("Wait demo:delay=2.", Orders(delay=2)),
        ("demo:cut=1 demo:cut=2", Orders(cut=2)),
        ("Here is a demo: error handling", Orders()),
        ("a demo:video of it", Orders()),
        ("pandemo:error=429", Orders()),
    ],
)
def test_phrases_are_read(text: str, orders: Orders) -> None:
    assert read_orders(text) == orders


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
        read_orders(text)


def test_a_very_long_text_is_searched_at_both_ends_only() -> None:
    middle = " word" * 10_000
    assert read_orders(f"demo:cut=1{middle} demo:stall=2{middle} demo:no-done") == Orders(cut=1, no_done=True)


def test_phrases_are_taken_out_of_the_text() -> None:
    assert without_phrases("Say  demo:cut=5 hi demo:no-done") == "Say hi"
