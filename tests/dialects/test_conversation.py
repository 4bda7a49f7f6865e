"""The identity conversation: which reader a response gets, by its content type and by its first bytes."""

import pytest

from proxy.dialects.conversation import IDENTITY
from proxy.dialects.openai_chat import CHAT
from proxy.dialects.openai_media import MEDIA
from proxy.dialects.readers import (
    EventReader,
    JsonReader,
    OpaqueReader,
    ResponseReader,
    TextOrJsonReader,
)
from proxy.errors import UpstreamProtocolError
from proxy.wire.request_body import parse_body
from proxy.wire.sniff import Kind

JSON = b"application/json"
EVENTS = b"text/event-stream"
AUDIO = (b"audio/", b"text/")


def reader(
    label: bytes = JSON,
    kind: Kind = "open",
    first: bytes = b"",
    *,
    stream: bool = False,
    opaque: tuple[bytes, ...] = (),
    encoding: bytes = b"identity",
) -> ResponseReader:
    headers = [(b"content-type", label), (b"content-encoding", encoding)]
    body = parse_body(b'{"model":"core","n":3}')
    return IDENTITY.reader(
        headers,
        MEDIA if opaque else CHAT,
        body,
        alias="core",
        model="vendor",
        hidden={},
        may_ask_usage=True,
        stream=stream,
        opaque=opaque,
        max_event_bytes=1000,
        first=first,
        kind=kind,
    )


def test_the_content_type_is_believed_until_the_first_bytes_are_there() -> None:
    assert type(reader(JSON)) is JsonReader
    assert type(reader(EVENTS)) is EventReader
    assert type(reader(b"audio/mpeg", opaque=AUDIO)) is OpaqueReader


def test_the_first_bytes_outweigh_a_wrong_content_type() -> None:
    events = reader(JSON, "events", b"data: {}", stream=True)
    assert (type(events), events.label) == (EventReader, b"text/event-stream; charset=utf-8")
    json = reader(EVENTS, "json", b"{}", stream=True)
    assert (type(json), json.label) == (JsonReader, JSON)


def test_a_client_that_asked_for_no_events_gets_none_that_are_not_announced() -> None:
    assert type(reader(JSON, "events", b"data: {}")) is JsonReader
    assert type(reader(EVENTS, "events", b"data: {}")) is EventReader


def test_a_transcript_that_looks_like_json_may_be_either() -> None:
    assert type(reader(b"text/plain", "json", b"{", opaque=AUDIO)) is TextOrJsonReader
    assert type(reader(JSON, "json", b"{", opaque=AUDIO)) is JsonReader


@pytest.mark.parametrize("page", [True, False])
def test_a_web_page_and_a_compressed_body_are_refused(page: bool) -> None:
    with pytest.raises(UpstreamProtocolError):
        reader(kind="page" if page else "open", encoding=b"identity" if page else b"gzip")


def test_usage_is_asked_for_in_streams_whose_client_did_not() -> None:
    stream = parse_body(b'{"model":"core","stream":true}')
    assert b"include_usage" in IDENTITY.body(stream, "vendor", True)
    assert b"include_usage" not in IDENTITY.body(stream, "vendor", False)
    assert b"include_usage" not in IDENTITY.body(parse_body(b'{"model":"core"}'), "vendor", True)
    assert b"".join(IDENTITY.body_parts(stream, "vendor", True)) == IDENTITY.body(stream, "vendor", True)


def test_an_error_of_the_same_dialect_passes_and_another_does_not() -> None:
    assert IDENTITY.error(CHAT, b'{"error":{"message":"no","type":"t"}}') is not None
    assert IDENTITY.error(CHAT, b"no") is None
