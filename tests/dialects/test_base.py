"""What holds for every dialect: its meters, and that it knows its own errors again."""

import json

import pytest

from proxy.dialects.anthropic import MESSAGES
from proxy.dialects.base import Dialect
from proxy.dialects.gemini import GENERATE
from proxy.dialects.meters import ResponseMeter
from proxy.dialects.openai_chat import CHAT
from proxy.dialects.openai_media import MEDIA
from proxy.dialects.openai_responses import RESPONSES
from proxy.errors import GatewayError, InvalidRequest, Overloaded, UpstreamFailed
from tests.dialects.answers import ALIAS, UPSTREAM, event_meter, json_meter

DIALECTS = pytest.mark.parametrize("dialect", [CHAT, RESPONSES, MEDIA, MESSAGES, GENERATE])
ERRORS = pytest.mark.parametrize("error", [InvalidRequest("no"), Overloaded("later"), UpstreamFailed("broken")])


@DIALECTS
def test_a_meter_begins_with_nothing(dialect: Dialect) -> None:
    for meter in (event_meter(dialect), json_meter(dialect)):
        assert isinstance(meter, ResponseMeter)
        assert meter.path
        assert (meter.text_out, meter.plain, meter.usage()) == (0, b"", None)
        flags = (meter.drop, meter.failed, meter.ended, meter.finished, meter.terminal, meter.closing)
        assert not any(flags)


@ERRORS
@DIALECTS
def test_a_dialect_knows_its_own_errors_again(dialect: Dialect, error: GatewayError) -> None:
    body = dialect.error_body(error, "req_1", "2026-01-01T00:00:00Z")
    assert error.message.encode() in body
    assert b"req_1" in body
    # Scrubbed as any other: Google's envelope has a host in it.
    assert dialect.upstream_error(body, "", "") is not None
    meter = json_meter(dialect)
    meter.read(body)
    assert meter.failed


@ERRORS
@DIALECTS
def test_an_error_event_holds_the_error_body(dialect: Dialect, error: GatewayError) -> None:
    body = dialect.error_body(error, "req_1", "2026-01-01T00:00:00Z")
    event = dialect.error_event(error, "req_1", "2026-01-01T00:00:00Z")
    assert body in event
    assert event.endswith((b"\n\n", b"\r\n\r\n"))
    assert json.loads(event[event.index(b"{") :]) == json.loads(body)


@DIALECTS
def test_an_error_s_own_names_are_replaced(dialect: Dialect) -> None:
    body = dialect.error_body(InvalidRequest(f"{UPSTREAM} has no such field"), "req_1", "now")
    scrubbed = dialect.upstream_error(body, UPSTREAM, ALIAS)
    assert scrubbed is not None
    assert UPSTREAM.encode() not in scrubbed
    assert ALIAS.encode() in scrubbed


@DIALECTS
def test_a_heartbeat_is_a_comment(dialect: Dialect) -> None:
    assert not dialect.heartbeat or (dialect.heartbeat.startswith(b":") and dialect.heartbeat.endswith(b"\n"))
