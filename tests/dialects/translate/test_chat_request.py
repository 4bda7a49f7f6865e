"""Content of chats as it is read and written."""

import pytest

from proxy.dialects.base import TargetTerms
from proxy.dialects.translate.chat_request import read_messages, short_name
from proxy.dialects.translate.mapper import RequestMapper
from proxy.dialects.translate.schemas import MediaPart, ResultPart, TextPart, Turn
from proxy.errors import InvalidRequest
from proxy.wire.request_body import parse_body


def read(messages: str) -> tuple[list[TextPart], list[Turn]]:
    body = parse_body(f'{{"model":"core","messages":{messages}}}'.encode())
    return read_messages(RequestMapper(body, TargetTerms(alias="core", model="m")))


def test_a_text_stays_the_json_that_it_came_as() -> None:
    _, turns = read('[{"role":"user","content":"h\\u00e4\\n"}]')
    assert turns == [Turn("user", [TextPart(b'"h\\u00e4\\n"')])]


def test_a_result_is_a_part_of_the_user_s_turn() -> None:
    _, turns = read('[{"role":"tool","tool_call_id":"c","content":"r"},{"role":"user","content":"x"}]')
    assert turns == [Turn("user", [ResultPart("c", [TextPart(b'"r"')]), TextPart(b'"x"')])]


def test_a_sound_has_its_format_as_media_type() -> None:
    part = '{"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}}'
    _, turns = read(f'[{{"role":"user","content":[{part}]}}]')
    assert turns[0].parts == [MediaPart("audio", "audio/wav", b"UklG")]


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ('{"role":"bot","content":"x"}', "messages[0].role"),
        ('{"role":"assistant","function_call":{"name":"f"}}', "messages[0].function_call"),
        ('{"role":"assistant","tool_calls":[{"id":"c","type":"custom"}]}', "messages[0].tool_calls[0].type"),
        (
            '{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"[1"}}]}',
            "messages[0].tool_calls[0].function.arguments",
        ),
        ('{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://a/x"}}]}', "messages[0].content"),
    ],
)
def test_a_message_that_cannot_be_read_is_refused_by_its_path(message: str, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(f"[{message}]")
    assert caught.value.param == path


def test_a_short_name_stays_and_a_long_one_is_shortened_the_same_way_each_time() -> None:
    assert short_name("f") == "f"
    assert short_name("a" * 65) == short_name("a" * 65) != short_name("a" * 66)
    assert len(short_name("a" * 65)) == 64
