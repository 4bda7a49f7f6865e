"""RequestContext: it needs no HTTP head, and begins with what most requests never change."""

from proxy.dialects.openai_chat import CHAT
from proxy.exchange.context import ANONYMOUS, NO_BODY, EndpointSpec, RequestContext
from proxy.wire.prism_headers import NO_PRISM_HEADERS


def test_a_job_can_have_one() -> None:
    spec = EndpointSpec("/v1/chat/completions", CHAT, unit="tokens", opaque=(b"audio/",), may_ask_usage=True)
    context = RequestContext(spec, id="req_1", started=1, arrived=2.0)
    assert (context.endpoint, context.dialect, context.spec.unit, context.spec.opaque) == (
        "/v1/chat/completions",
        CHAT,
        "tokens",
        (b"audio/",),
    )
    assert context.trace_id == "req_1", "its own id, where the client has none"
    assert (context.key, context.body, context.prism) == (ANONYMOUS, NO_BODY, NO_PRISM_HEADERS)
    assert (context.lines, context.observers, context.origin, context.admitted) == (b"", (), None, 0)


def test_what_a_policy_adds_is_the_requests_alone() -> None:
    spec = EndpointSpec("/v1/files", CHAT)
    one = RequestContext(spec, id="req_1", started=1, arrived=2.0)
    one.lines += b"x-added: 1\r\n"
    assert RequestContext(spec, id="req_2", started=1, arrived=2.0).lines == b""


def test_nobody_may_use_anything_without_a_key() -> None:
    assert ANONYMOUS.models == frozenset()


def test_no_value_of_a_header_adds_another_line() -> None:
    one = RequestContext(EndpointSpec("/v1/files", CHAT), id="req_1", started=1, arrived=2.0)
    one.add_header("x-key", "a\r\nset-cookie: b=c\r\n\r\n<html>\0\u2028\xfc")
    one.add_header("x-more", "")
    assert one.lines == b"x-key: a  set-cookie: b=c    <html> ?\xfc\r\nx-more: \r\n"
