"""The base of all pairs: which headers go up, which responses are refused, and what an alias offers."""

import pytest

from proxy.dialects.openai_chat import CHAT
from proxy.dialects.translate import CONVERSATIONS
from proxy.dialects.translate.chat_to_messages import ChatToMessages
from proxy.dialects.translate.messages_to_chat import MessagesToChat
from proxy.errors import UpstreamProtocolError
from proxy.wire.request_body import parse_body
from proxy.wire.sniff import Kind
from tests.dialects.translate.pairs import begun


def test_headers_of_the_caller_s_dialect_stay_behind_and_a_trace_goes_on() -> None:
    forwarded = b"anthropic-version: 2023-06-01\r\nanthropic-beta: x\r\ntraceparent: 00-1\r\n"
    assert MessagesToChat().lines(forwarded) == b"traceparent: 00-1\r\n"


@pytest.mark.parametrize(
    ("headers", "kind"), [([(b"content-encoding", b"gzip")], "open"), ([(b"content-type", b"text/html")], "page")]
)
def test_what_cannot_be_read_is_refused(headers: list[tuple[bytes, bytes]], kind: Kind) -> None:
    pair = begun(ChatToMessages(), {"messages": [], "max_tokens": 9})
    with pytest.raises(UpstreamProtocolError):
        pair.reader(
            headers, CHAT, parse_body(b'{"model":"core"}'), alias="core", model="m", hidden={}, may_ask_usage=False,
            stream=False, opaque=(), max_event_bytes=1_000, first=b"", kind=kind,
        )  # fmt: skip


def test_a_pair_holds_nothing_of_a_request_but_in_what_it_begins() -> None:
    pair = MessagesToChat()
    first = begun(pair, {"max_tokens": 1, "messages": [], "top_k": 1})
    second = begun(pair, {"max_tokens": 2, "messages": []})
    assert (pair.note, first.note, second.note) == ("", "messages>chat; dropped=top_k", "messages>chat")


def test_the_body_is_the_same_in_one_part() -> None:
    conversation = begun(MessagesToChat(), {"max_tokens": 1, "messages": []})
    body = parse_body(b'{"model":"core"}')
    assert b"".join(conversation.body_parts(body, "m", False)) == conversation.body(body, "m", False)


def test_each_pair_is_there_once() -> None:
    names = [(one.caller, one.target, one.endpoints) for one in CONVERSATIONS]
    assert len(set(names)) == len(names)
