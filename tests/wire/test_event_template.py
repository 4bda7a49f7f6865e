"""The template of an event: which events it takes for the same but their text, and what it makes of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.event_template import EventTemplate

LIMIT = 1_000
PREFIX = b'data: {"model":"dated"'
NEW_PREFIX = b'data: {"model":"alias"'


def event(content: str, rest: str = "") -> bytes:
    return PREFIX + b',"choices":[{"delta":{"content":%b}%b}]}\n\n' % (json.dumps(content).encode(), rest.encode())


def template(block: bytes, text: bytes) -> EventTemplate:
    return EventTemplate(block, NEW_PREFIX + block[len(PREFIX) :], text, len(PREFIX), LIMIT)


def learned() -> EventTemplate:
    return template(event("word"), b'"word"')


@pytest.mark.parametrize("text", ["", " ", "another", "a" * 500, "{[,:]}", "'/~"])
def test_an_event_with_another_plain_text_matches(text: str) -> None:
    made = learned()
    assert made.match(event(text)) == event(text).replace(b"dated", b"alias")
    assert made.text_bytes == len(text)


@pytest.mark.parametrize(
    "block",
    [
        event('a "quote"'),
        event("a\\b"),
        event("\n"),
        event("word").replace(b"word", "\u00e9".encode()),
        event("word").replace(b"word", b"a\x7fb"),
        event("word", ',"finish_reason":"stop"'),
        event("word")[:-1],
        event("a" * LIMIT),
        event("word") + event("word"),
    ],
)
def test_an_event_that_may_differ_in_more_does_not_match(block: bytes) -> None:
    assert learned().match(block) == b""


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (event("word").replace(b"\n", b"\r\n"), b'"word"'),
        (event("word"), b"null"),
        (event("word"), b'"other"'),
        (event("word", ',"content":"word"'), b'"word"'),
        (b'data: {"content":"word","model":"dated"}\n\n', b'"word"'),
    ],
)
def test_a_template_matches_nothing_where_the_text_is_not_certain(block: bytes, text: bytes) -> None:
    made = template(block, text)
    assert (made.before, made.match(block)) == (b"", b"")


@given(st.text(max_size=40))
def test_what_matches_is_the_same_json_but_for_its_text(text: str) -> None:
    out = learned().match(event(text))
    if out:
        assert json.loads(out[6:]) == {"model": "alias", "choices": [{"delta": {"content": text}}]}
