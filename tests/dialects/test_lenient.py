"""A value of a wrong type in a field that is read hides nothing beside it: the model, the usage, the end, an error."""

from typing import Any

import pytest

from proxy.dialects.anthropic import MESSAGES
from proxy.dialects.base import Dialect
from proxy.dialects.gemini import GENERATE
from proxy.dialects.openai_chat import CHAT
from proxy.dialects.openai_media import MEDIA
from proxy.dialects.openai_responses import RESPONSES
from proxy.errors import UpstreamProtocolError
from tests.dialects.answers import compact, event_meter, json_meter

ODD = [7, -1.5, True, "odd", [], [7], {}, {"a": 1}, None, [[]], [None]]
CHOICE = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}
COUNTED = {"prompt_tokens": 3, "completion_tokens": 2}
ERROR = {"message": "broken"}
#: For each format an event that says everything, and its fields that may be of a wrong type.
CASES: list[tuple[Dialect, dict[str, Any], list[tuple[str | int, ...]]]] = [
    (
        CHAT,
        {"model": "m", "choices": [CHOICE], "usage": COUNTED, "x_groq": None},
        [("choices", 0, "index"), ("choices", 0, "delta"), ("choices", 0, "message"), ("x_groq",), ("moderation",)],
    ),
    (
        RESPONSES,
        {"type": "response.completed", "response": {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 2}}},
        [("usage",), ("item",)],
    ),
    (
        MESSAGES,
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        [("type",), ("message",), ("delta", "text")],
    ),
    (
        GENERATE,
        {
            "modelVersion": "m",
            "candidates": [{"index": 0, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
        },
        [("candidates", 0, "index"), ("candidates", 0, "content"), ("promptFeedback",)],
    ),
    (MEDIA, {"type": "x.done", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 2}}, [("delta",)]),
]


def changed(value: dict[str, Any], path: tuple[str | int, ...], odd: object) -> dict[str, Any]:
    """The value with another one at a path."""
    new: dict[str, Any] = {**value}
    place: Any = new
    for name in path[:-1]:
        old = place[name]
        place[name] = {**old} if isinstance(old, dict) else [*old]
        place = place[name]
    place[path[-1]] = odd
    return new


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize(("dialect", "value", "paths"), CASES, ids=lambda one: getattr(one, "name", ""))
def test_a_value_of_a_wrong_type_hides_nothing_beside_it(
    dialect: Dialect, value: dict[str, Any], paths: list[tuple[str | int, ...]], odd: object
) -> None:
    good = event_meter(dialect)
    model = bytes(good.read(compact(value)))
    usage = good.usage()
    assert usage is not None
    for path in paths:
        meter = event_meter(dialect)
        assert bytes(meter.read(compact(changed(value, path, odd)))) == model, path
        assert (meter.usage(), meter.finished) == (usage, good.finished), path


@pytest.mark.parametrize("odd", [one for one in ODD if one is not None], ids=repr)
@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, MESSAGES, GENERATE, MEDIA], ids=lambda one: one.name)
def test_an_error_beside_values_of_wrong_types_is_seen(dialect: Dialect, odd: object) -> None:
    names = ("type", "choices", "candidates", "message", "delta", "response", "x_groq", "usage", "content")
    for meter in (event_meter(dialect), json_meter(dialect)):
        meter.read(compact({**dict.fromkeys(names, odd), "error": ERROR}))
        assert meter.failed


@pytest.mark.parametrize("odd", [7, None, [], {}, True, ["response.completed"]], ids=repr)
def test_the_model_of_an_event_without_a_name_is_found(odd: object) -> None:
    event = {"type": odd, "response": {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 2}}}
    meter = event_meter(RESPONSES)
    assert bytes(meter.read(compact(event))) == b'"m"'
    assert meter.usage() is not None


@pytest.mark.parametrize("choices", [[CHOICE, 7], [None, CHOICE], [CHOICE, []], [CHOICE, {"delta": 7}]], ids=repr)
def test_good_choices_beside_odd_ones_are_read(choices: list[Any]) -> None:
    meter = event_meter(CHAT)
    meter.read(compact({"choices": choices}))
    assert meter.text_out > 0


@pytest.mark.parametrize("payload", [b"7", b"null", b'"a"', b"[]", b'{"a":', b"", b"[7]"])
@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, MESSAGES, MEDIA], ids=lambda one: one.name)
def test_what_is_no_object_is_not_read(dialect: Dialect, payload: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        event_meter(dialect).read(payload)
