"""The verdicts: what becomes of a field, and what is noted of it."""

import pytest

from proxy.dialects.base import TargetTerms
from proxy.dialects.translate.mapper import (
    MAX_NOTE,
    RequestMapper,
    Rule,
    dropped,
    dropped_unless,
    ignored,
    lossy,
    mapped,
    refused,
    refused_unless,
)
from proxy.dialects.translate.schemas import decode_messages
from proxy.errors import InvalidRequest
from proxy.wire.request_body import parse_body


def mapper(body: bytes, *, strict: bool = False) -> RequestMapper:
    return RequestMapper(parse_body(body), TargetTerms(alias="core", model="m", strict=strict))


def after(rule: Rule, value: bytes = b"1.50", *, strict: bool = False) -> tuple[bytes, str]:
    one = mapper(b'{"model":"core","x":' + value + b"}", strict=strict)
    one.map({"model": ignored("it is set"), "x": rule})
    return one.encoded(), one.note


@pytest.mark.parametrize(
    ("rule", "sent", "note"),
    [
        (mapped(), b'{"x":1.50}', ""),
        (mapped("y"), b'{"y":1.50}', ""),
        (lossy("why"), b"{}", "; lossy=x"),
        (dropped("why"), b"{}", "; dropped=x"),
        (ignored("why"), b"{}", ""),
        (dropped_unless(1.5, why="why"), b"{}", ""),
        (dropped_unless(2, why="why"), b"{}", "; dropped=x"),
        (refused_unless(1.5, why="why"), b"{}", ""),
    ],
)
def test_a_field_becomes_what_its_verdict_says(rule: Rule, sent: bytes, note: str) -> None:
    assert after(rule) == (sent, note)


@pytest.mark.parametrize("rule", [refused("there is none"), refused_unless(1, why="there is none")])
def test_a_refusal_names_the_field_the_alias_and_why(rule: Rule) -> None:
    with pytest.raises(InvalidRequest) as caught:
        after(rule)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "x", "not_translatable")
    assert caught.value.message == "`x` cannot be translated for the model `core`: there is none."


def test_null_is_as_if_the_field_was_not_there() -> None:
    assert after(refused("there is none"), b"null") == (b"{}", "")


def test_a_strict_alias_refuses_a_loss() -> None:
    with pytest.raises(InvalidRequest):
        after(lossy("why"), strict=True)


def test_a_field_without_a_verdict_is_left_out_and_noted() -> None:
    one = mapper(b'{"model":"core","later":1}')
    one.map({"model": ignored("it is set")})
    assert one.note == "; dropped=later"


def test_the_note_is_bounded() -> None:
    fields = ",".join(f'"field_{number}":1' for number in range(500))
    one = mapper(f'{{"model":"core",{fields}}}'.encode())
    one.map({})
    assert len(one.note) == MAX_NOTE


@pytest.mark.parametrize("value", [b"1", b"[1]", b"{}"])
def test_a_word_of_another_type_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequest):
        mapper(b'{"model":"core","x":' + value + b"}").text("x")


def test_a_value_that_cannot_be_read_says_where() -> None:
    one = mapper(b'{"model":"core","x":[1]}')
    raw = one.field("x")
    assert raw is not None
    with pytest.raises(InvalidRequest, match=r"\$\[0\]"):
        one.decoded(raw, "x", decode_messages)
