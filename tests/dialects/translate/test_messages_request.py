"""Content of Messages as it is read: turns of the same role are one, and unknown roles are refused."""

import pytest

from proxy.dialects.base import TargetTerms
from proxy.dialects.translate.mapper import RequestMapper
from proxy.dialects.translate.messages_request import read_messages, write_messages
from proxy.dialects.translate.schemas import TextPart, ThinkingPart, Turn
from proxy.errors import InvalidRequest
from proxy.wire.request_body import parse_body


def mapper(messages: str) -> RequestMapper:
    body = parse_body(f'{{"model":"core","messages":{messages}}}'.encode())
    return RequestMapper(body, TargetTerms(alias="core", model="m"))


def test_turns_of_the_same_role_are_one() -> None:
    one = mapper('[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}]')
    assert read_messages(one) == [Turn("user", [TextPart(b'"a"'), TextPart(b'"b"')])]


def test_an_unknown_role_is_refused_by_its_path() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_messages(mapper('[{"role":"system","content":"a"}]'))
    assert caught.value.param == "messages[0].role"


def test_thoughts_without_their_signature_are_not_sent() -> None:
    turn = Turn("assistant", [ThinkingPart(b'"hm"'), TextPart(b'"so"')])
    assert [bytes(one["content"]) for one in write_messages(mapper("[]"), [turn])] == [b'"so"']
