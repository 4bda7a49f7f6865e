"""What becomes of an upstream's error: which status is kept, whose words are shown, and in which envelope."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.anthropic import MESSAGES
from proxy.dialects.base import Dialect
from proxy.dialects.gemini import GENERATE
from proxy.dialects.openai_chat import CHAT
from proxy.dialects.openai_media import MEDIA
from proxy.dialects.openai_responses import RESPONSES
from proxy.dialects.upstream_errors import MAX_MESSAGE_CHARACTERS, RelayedError, error_summary, relayed_error
from proxy.errors import UpstreamFailed

DIALECTS = {"chat": CHAT, "typed": RESPONSES, "media": MEDIA, "messages": MESSAGES, "generate": GENERATE}
JSON = [(b"content-type", b"application/json")]
HTML = [(b"content-type", b"text/html; charset=utf-8")]
NAMES = {"vendor-big": "prometheus-core"}
OPENAI = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}
ANTHROPIC = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}, "request_id": "r1"}
GOOGLE = {"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT", "details": []}}

#: (body, message): shapes that no dialect has.
STRANGE: list[tuple[Any, str]] = [
    ([{"error": {"code": 400, "message": "bad arg", "status": "INVALID_ARGUMENT"}}, {}], "bad arg"),
    ({"object": "error", "message": "maximum is 8192", "type": "BadRequestError", "code": 400}, "maximum is 8192"),
    (
        {"object": "error", "message": {"detail": [{"msg": "Field required", "loc": ["body", "model"]}]}},
        "Field required",
    ),
    ({"detail": [{"loc": ["body", "temperature"], "msg": "too large"}]}, "temperature: too large"),
    ({"detail": [{"loc": ["body", "a", 0], "msg": "x"}, {"loc": ["b"], "msg": "y"}]}, "a.0: x; b: y"),
    ({"detail": "too long"}, "too long"),
    ({"detail": {"message": "too deep"}}, "too deep"),
    ({"message": "Requests rate limit exceeded"}, "Requests rate limit exceeded"),
    ({"Message": "in capitals"}, "in capitals"),
    ({"id": "1", "message": "invalid"}, "invalid"),
    ({"error": "no such model"}, "no such model"),
    ({"code": "invalid-argument", "error": "bad value"}, "bad value"),
    ({"error": "Bad Request", "message": "model is required"}, "model is required"),
    ({"error": "too many", "error_type": "validation"}, "too many"),
    ({"error": ["one", "two"]}, "one; two"),
    ({"errors": [{"message": "first"}, {"message": "second"}]}, "first; second"),
    ({"errors": ["first"]}, "first"),
    ({"error": {"error": {"message": "inner"}}}, "inner"),
    ({"error": True, "message": "flagged"}, "flagged"),
    ("just a text", "just a text"),
    (b'event: error\ndata: {"type":"error","error":{"type":"x","message":"as an event"}}\n\n', "as an event"),
    (b'data: {"error":{"message":"as an event","type":"x"}}\r\n\r\ndata: [DONE]\r\n\r\n', "as an event"),
    ({"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "no such field"}, "no such field"),
    ({"error_code": 336003, "error_msg": "too long"}, "too long"),
    (b'{"detail":"no such field","input":"cut \\ud83d"}', "no such field"),
    (b'\xef\xbb\xbf{"message":"too warm","input":NaN}', "too warm"),
]
#: Bodies in which no word is found.
SILENT: list[bytes] = [
    b"", b"{}", b"[]", b"null", b"7", b'{"error":{"code":5}}', b'{"error":null}', b'{"message":""}',
    b'{"message":"  "}',
    b"too many requests", b'{"error":', b"\xff\xfe",
    b"[" * 100_000, b'{"message":[]}', b"<?xml version='1.0'?><Error/>",
]  # fmt: skip


def refused(
    body: Any, status: int = 400, dialect: Dialect = CHAT, headers: Any = JSON, *, limits: bool = False
) -> RelayedError:
    """What becomes of an error."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return relayed_error(
        dialect, status, headers, data, NAMES, limits=limits, request_id="req_1", timestamp="2026-01-31T12:00:00.000Z"
    )


def message_of(refusal: RelayedError, dialect: Dialect) -> str:
    """The message of an answer in a dialect's envelope."""
    value = json.loads(refusal.body)
    assert dialect.upstream_error(refusal.body, "", "") is not None
    return str(value["error"]["message"])


@pytest.mark.parametrize("status", [400, 404, 422, 429])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize(("body", "message"), STRANGE)
def test_an_error_of_another_shape_keeps_its_status_and_its_message(
    body: Any, message: str, dialect: Dialect, status: int
) -> None:
    refusal = refused(body, status, dialect)
    assert (refusal.status, refusal.code) == (status, f"upstream_{status}")
    assert message in message_of(refusal, dialect)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize(
    "body",
    [
        b'{"detail":"Invalid value: \'cut \\ud83d"}',
        b'{"detail":"Invalid value: \'cut \xff","score":NaN}',
        b'\xef\xbb\xbf{"detail":"Invalid value: \'cut ","limit":Infinity}',
    ],
)
def test_words_that_a_strict_reader_refuses_are_shown(body: bytes, dialect: Dialect) -> None:
    assert "Invalid value: 'cut" in message_of(refused(body, 422, dialect), dialect)


@pytest.mark.parametrize("status", [400, 404, 429])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize("body", SILENT)
def test_an_error_without_a_word_keeps_its_status(body: bytes, dialect: Dialect, status: int) -> None:
    refusal = refused(body, status, dialect)
    assert refusal.status == status
    assert message_of(refusal, dialect) == f"The model's provider failed (status {status})."


@pytest.mark.parametrize(
    ("dialect", "own"),
    [
        (CHAT, OPENAI),
        (RESPONSES, OPENAI),
        (MEDIA, OPENAI),
        (MESSAGES, ANTHROPIC),
        (GENERATE, GOOGLE),
        (GENERATE, [GOOGLE]),
    ],
)
@pytest.mark.parametrize("status", [400, 429, 500, 529])
def test_an_error_of_the_dialects_own_shape_stays_as_it_came(dialect: Dialect, own: Any, status: int) -> None:
    body = json.dumps(own, indent=1).encode()
    assert refused(body, status, dialect).body == body


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no", "code": 429, "metadata": {"raw": "x"}}, "user_id": None},
        {"error": {"message": "no", "code": "401"}},
        {"error": {"message": "no", "type": None, "status": "x"}},
    ],
)
def test_openais_shape_is_known_with_less_in_it(body: Any) -> None:
    assert json.loads(refused(body).body) == body


@pytest.mark.parametrize("status", [400, 429, 500, 529])
@pytest.mark.parametrize(
    ("dialect", "other"),
    [
        *((dialect, ANTHROPIC) for dialect in (CHAT, RESPONSES, MEDIA, GENERATE)),
        *((dialect, GOOGLE) for dialect in (CHAT, RESPONSES, MEDIA, MESSAGES)),
        *((dialect, OPENAI) for dialect in (MESSAGES, GENERATE)),
    ],
)
def test_another_dialects_error_is_written_in_the_callers(dialect: Dialect, other: Any, status: int) -> None:
    refusal = refused(other, status, dialect)
    assert refusal.status == status
    assert message_of(refusal, dialect) == "no"


def test_an_envelope_of_ours_has_a_fitting_type_and_the_providers_code() -> None:
    kinds = {status: json.loads(refused({"message": "x"}, status).body)["error"] for status in (400, 404, 413, 429)}
    assert {status: (kind["type"], kind["code"]) for status, kind in kinds.items()} == {
        400: ("invalid_request_error", "invalid_request"),
        404: ("invalid_request_error", "not_found"),
        413: ("invalid_request_error", "request_too_large"),
        429: ("rate_limit_error", "rate_limit_exceeded"),
    }
    body = json.loads(refused({"message": "x", "type": "invalid_model", "code": "1500"}).body)
    assert body["error"]["code"] == "1500"
    assert (body["request_id"], body["timestamp"]) == ("req_1", "2026-01-31T12:00:00.000Z")
    assert json.loads(refused(GOOGLE).body)["error"]["code"] == "INVALID_ARGUMENT"
    assert json.loads(refused({"detail": [{"loc": ["body", "top_p"], "msg": "x"}]}).body)["error"]["param"] == "top_p"


@pytest.mark.parametrize("status", [400, 429])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_the_words_of_another_shape_are_scrubbed_and_bounded(dialect: Dialect, status: int) -> None:
    text = "vendor-big of org-abcd1234 at https://inner.example/v1 " + "é" * 5_000
    message = message_of(refused({"message": text, "code": "vendor-big"}, status, dialect), dialect)
    assert message.startswith("prometheus-core of *** at *** ")
    assert len(message) == MAX_MESSAGE_CHARACTERS
    assert b"vendor-big" not in refused({"message": "x", "code": "vendor-big", "param": "vendor-big"}).body


@pytest.mark.parametrize(
    "body", [{"message": "/srv/worker.py failed"}, {"detail": "x"}, {"error": "x"}, b"x", b"<html>"]
)
@pytest.mark.parametrize("status", [500, 502, 503, 504, 529, 599])
@pytest.mark.parametrize("headers", [JSON, HTML])
def test_a_failure_keeps_its_status_in_our_words(body: Any, status: int, headers: Any) -> None:
    refusal = refused(body, status, headers=headers)
    error = json.loads(refusal.body)["error"]
    assert (refusal.status, refusal.code) == (status, "upstream_error")
    assert (error["type"], error["code"]) == ("provider_error", "upstream_error")
    assert error["message"] == f"The model's provider failed (status {status})."


@pytest.mark.parametrize("status", [200, 204, 301, 302, 304, 307, 308, 401, 403, 407])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_redirects_and_the_gateways_own_credential_are_no_clients_affair(dialect: Dialect, status: int) -> None:
    for body in (OPENAI, ANTHROPIC, GOOGLE, {"message": "sk-abcdef is wrong"}):
        with pytest.raises(UpstreamFailed) as raised:
            refused(body, status, dialect)
        assert (raised.value.status, raised.value.type, raised.value.code) == (502, "provider_error", "upstream_error")
        assert "sk-" not in raised.value.message


@pytest.mark.parametrize(
    ("headers", "body"), [(HTML, b"no"), (JSON, b" <!DOCTYPE HTML><p>"), ([], b"\xef\xbb\xbf<html>")]
)
@pytest.mark.parametrize("status", [400, 404, 405, 451])
def test_a_web_page_is_no_answer_of_a_model(headers: Any, body: bytes, status: int) -> None:
    with pytest.raises(UpstreamFailed):
        refused(body, status, headers=headers)


def test_a_page_of_a_server_in_front_keeps_a_status_that_it_means() -> None:
    assert [refused(b"<html>", status, headers=HTML).status for status in (413, 429)] == [413, 429]


def test_json_that_is_called_a_page_is_read() -> None:
    assert message_of(refused({"message": "no"}, headers=HTML), CHAT) == "no"


def header_lines(refusal: RelayedError) -> list[str]:
    """The header lines of a refusal."""
    return refusal.lines.decode().split("\r\n")[:-1]


AGAIN = [(b"retry-after", b"30"), (b"retry-after-ms", b"30000"), (b"x-should-retry", b"true")]
LIMITS = [
    (b"x-ratelimit-limit-requests", b"1"),
    (b"x-ratelimit-remaining-tokens", b"0"),
    (b"x-ratelimit-reset", b"6ms"),
    (b"anthropic-ratelimit-unified-status", b"rejected"),
    (b"anthropic-ratelimit-input-tokens-reset", b"2026-01-31T12:00:00Z"),
]
TELLING = [(b"x-ratelimit-key", b"vendor-big"), (b"set-cookie", b"a=b"), (b"content-disposition", b"vendor-big")]


@pytest.mark.parametrize("body", [OPENAI, {"message": "x"}, b"<html>"], ids=["own", "strange", "page"])
@pytest.mark.parametrize("status", [429, 503])
def test_when_to_retry_is_passed_on_as_it_came(body: Any, status: int) -> None:
    headers = [*JSON, (b"content-encoding", b"x"), *AGAIN, *LIMITS, *TELLING]
    again = [f"{name.decode()}: {value.decode()}" for name, value in AGAIN]
    limits = [f"{name.decode()}: {value.decode()}" for name, value in LIMITS]
    shown = header_lines(refused(body, status, headers=headers))
    assert sorted(shown) == sorted(["content-type: application/json", *again])
    shown = header_lines(refused(body, status, headers=headers, limits=True))
    assert sorted(shown) == sorted(["content-type: application/json", *again, *limits])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (OPENAI, "status 400, invalid_request_error"),
        ({"error": {"message": "quoted prompt", "type": "t", "code": "c"}}, "status 400, c, t"),
        (GOOGLE, "status 400, INVALID_ARGUMENT"),
        (ANTHROPIC, "status 400, overloaded_error"),
        (
            {"object": "error", "message": "x", "type": "invalid_model", "code": "1500"},
            "status 400, 1500, invalid_model",
        ),
        ({"error": {"code": "quoted\nprompt", "type": "x" * 100}}, "status 400"),
        ({"code": True, "type": 7.5}, "status 400"),
        (b"quoted prompt", "status 400"),
        (b'data: {"x":1}\n\ndata: {"error":{"message":"quoted","code":"slow_down"}}\n\n', "status 400, slow_down"),
        (b'event: error\r\ndata: {"type":"error","error":{"type":"overloaded_error"}}', "status 400, overloaded_error"),
    ],
)
def test_the_log_has_codes_and_no_words(body: Any, reason: str) -> None:
    assert error_summary(400, body if isinstance(body, bytes) else json.dumps(body).encode()) == reason


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "message", "detail", "errors", "code", "type", "status", "param", "loc", "x"]
                ),
                inner,
            )
        ),
        max_leaves=20,
    ),
    st.sampled_from([400, 404, 429, 500, 503]),
    st.sampled_from(sorted(DIALECTS)),
)
def test_every_body_has_an_answer(value: Any, status: int, name: str) -> None:
    refusal = refused(value, status, DIALECTS[name])
    assert refusal.status == status
    assert message_of(refusal, DIALECTS[name])
