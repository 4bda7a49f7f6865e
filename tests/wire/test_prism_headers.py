"""The parser of the `x-prism-*` and `x-agentcc-*` request headers: forms, bounds, and errors that name the header."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import InvalidRequest
from proxy.wire.prism_headers import (
    MAX_METADATA_BYTES,
    MAX_METADATA_KEYS,
    MAX_WARNINGS,
    NO_PRISM_HEADERS,
    CacheOptions,
    PrismHeaders,
    Session,
    read_prism_headers,
)

HEX = "4bf92f3577b34da6a3ce929d0e0e4736"


def read(**values: str) -> PrismHeaders:
    """The parsed headers; `session_id` stands for `x-prism-session-id`."""
    return read_prism_headers(
        [(f"x-prism-{name.replace('_', '-')}".encode(), one.encode()) for name, one in values.items()]
    )


def refusal(headers: PrismHeaders) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        headers.check()
    return caught.value


def test_a_head_without_such_headers_shares_one_value() -> None:
    assert read_prism_headers([(b"host", b"x"), (b"x-stainless-lang", b"python")]) is NO_PRISM_HEADERS


def test_either_prefix_is_read_and_prism_wins() -> None:
    twins = read_prism_headers([(b"x-agentcc-user-id", b"a")])
    assert (twins.user_id, twins.has_twins) == ("a", True)
    both = read_prism_headers([(b"x-agentcc-user-id", b"a"), (b"x-prism-user-id", b"b")])
    assert (both.user_id, both.has_twins) == ("b", True)
    assert not read(user_id="a").has_twins


def test_a_session() -> None:
    found = read(session_id="s-1", session_name="Research", session_path="/a/b")
    assert found.session == Session("s-1", "Research", "/a/b")
    assert read(session_id="x" * 255).session.id == "x" * 255


def test_a_session_id_that_is_too_long_is_refused_by_its_name() -> None:
    error = refusal(read_prism_headers([(b"x-agentcc-session-id", b"x" * 256)]))
    assert (error.code, error.param, error.status) == ("session_id_too_long", "x-agentcc-session-id", 400)
    assert "x-agentcc-session-id" in error.message


@pytest.mark.parametrize(
    "value", [rb'{"a":"\ud800"}', rb'{"a":"x\u0000"}', rb'{"a\n":"x"}', b"a=%00", b"a%0A=x", rb'{"\udfff":"x"}']
)
def test_metadata_that_no_database_takes_is_ignored_with_a_warning(value: bytes) -> None:
    found = read_prism_headers([(b"x-prism-metadata", value)])
    assert found.metadata == ()
    assert found.warnings.startswith(b"X-Prism-Warning: x-prism-metadata: ignored 1 entry")


def test_a_flood_of_ignored_headers_has_a_few_short_warnings() -> None:
    flood = [(b"x-prism-metadata-%d-" % number + b"k" * 4_000, b"v") for number in range(120)]
    found = read_prism_headers(flood)
    assert found.metadata == ()
    assert found.warnings.count(b"\r\n") == MAX_WARNINGS
    assert b"ignored 117 entries" in found.warnings
    assert len(found.warnings) < 1_000


@pytest.mark.parametrize("name", ["user-id", "request-id", "cache-namespace", "provider-lock", "guardrail-policy"])
def test_a_label_that_is_too_long_or_invisible_is_refused_by_its_name(name: str) -> None:
    header = f"x-prism-{name}".encode()
    assert refusal(read_prism_headers([(header, b"x" * 129)])).code == "header_too_long"
    assert refusal(read_prism_headers([(header, b"a\xff")])).param == f"x-prism-{name}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            '{"team":"web","n":3,"on":true,"deep":{"a":[1, 2]}}',
            {"team": "web", "n": "3", "on": "true", "deep": '{"a":[1,2]}'},
        ),
        ("team=web,env=prod", {"team": "web", "env": "prod"}),
        ("team=web; env = prod", {"team": "web", "env": "prod"}),
        ("note=a%2Cb%3D1", {"note": "a,b=1"}),
    ],
)
def test_metadata_is_json_or_pairs(value: str, expected: dict[str, str]) -> None:
    found = read(metadata=value)
    assert (dict(found.metadata), found.warnings) == (expected, b"")


def test_single_entries_of_metadata_win() -> None:
    headers = [(b"x-prism-metadata", b"a=1,b=2"), (b"x-prism-metadata-b", b"3"), (b"x-prism-property-c", b"4")]
    assert dict(read_prism_headers(headers).metadata) == {"a": "1", "b": "3", "c": "4"}


@pytest.mark.parametrize(
    "value",
    [
        "{not json",
        "no pairs",
        "{" + " " * MAX_METADATA_BYTES + "}",
        "cost_center=1",
        "a=" + "x" * 513,
        "k" * 65 + "=1",
        "=1",
    ],
)
def test_metadata_that_is_malformed_or_out_of_bounds_is_ignored_with_a_warning(value: str) -> None:
    found = read(metadata=value)
    found.check()
    assert dict(found.metadata) == {}
    assert found.warnings.startswith(b"X-Prism-Warning: x-prism-metadata: ignored 1 entry")
    assert found.warnings.count(b"\r\n") == 1


def test_one_bad_entry_of_metadata_does_not_take_the_others_along() -> None:
    found = read(metadata='{"a":"1","auth_token":"x","b":"' + "y" * 600 + '"}')
    assert dict(found.metadata) == {"a": "1"}
    assert b"ignored 2 entries" in found.warnings


def test_metadata_has_a_bounded_number_of_keys() -> None:
    found = read(metadata=",".join(f"k{number}=1" for number in range(MAX_METADATA_KEYS + 1)))
    assert len(found.metadata) == MAX_METADATA_KEYS
    assert b"ignored 1 entry" in found.warnings


@pytest.mark.parametrize(
    ("headers", "trace_id"),
    [
        ([(b"x-prism-trace-id", b"any/string:1")], "any/string:1"),
        ([(b"x-agentcc-trace-id", HEX.encode())], HEX),
        ([(b"traceparent", f"00-{HEX}-00f067aa0ba902b7-01".encode())], HEX),
        ([(b"x-prism-trace-id", b"with blank"), (b"traceparent", f"00-{HEX}-00f067aa0ba902b7-01".encode())], HEX),
        ([(b"x-prism-trace-id", b"x" * 129)], ""),
        ([(b"traceparent", b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01")], ""),
        ([(b"traceparent", f"ff-{HEX}-00f067aa0ba902b7-01".encode())], ""),
    ],
)
def test_a_trace_id(headers: list[tuple[bytes, bytes]], trace_id: str) -> None:
    assert read_prism_headers(headers).trace_id == trace_id


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("300", 300), ("90s", 90), ("5m", 300), ("1h30m", 5_400), ("2d", 172_800), ("0", 0), ("1.5h", 5_400)],
)
def test_a_cache_ttl_is_seconds_or_a_duration(value: str, seconds: float) -> None:
    assert read(cache_ttl=value).cache == CacheOptions(ttl=seconds)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({"request_timeout": "1500"}, 1.5),
        ({"timeout": "30s"}, 30),
        ({"request_timeout": "1500", "timeout": "1s"}, 1),
        ({}, math.inf),
    ],
)
def test_the_smaller_timeout_holds(values: dict[str, str], seconds: float) -> None:
    assert read(**values, user_id="x").timeout == seconds


@pytest.mark.parametrize("name", ["cache-ttl", "request-timeout", "timeout"])
@pytest.mark.parametrize("value", ["soon", "-1", "5 m", "1e3", "m", ""])
def test_a_malformed_duration_is_refused_by_its_name(name: str, value: str) -> None:
    error = refusal(read_prism_headers([(f"x-prism-{name}".encode(), value.encode())]))
    assert (error.status, error.param) == (400, f"x-prism-{name}")
    assert f"x-prism-{name}" in error.message


def test_a_timeout_of_nothing_is_refused() -> None:
    assert refusal(read(request_timeout="0")).param == "x-prism-request-timeout"


def test_a_refused_head_keeps_what_its_response_needs() -> None:
    found = read_prism_headers([(b"x-agentcc-cache-ttl", b"soon"), (b"x-agentcc-trace-id", b"t")])
    assert (found.trace_id, found.has_twins) == ("t", True)


def test_cache_controls() -> None:
    found = read_prism_headers(
        [
            (b"x-prism-cache-force-refresh", b"true"),
            (b"x-prism-cache-namespace", b"tests"),
            (b"cache-control", b"No-Store, max-age=0"),
        ]
    )
    assert found.cache == CacheOptions(None, True, "tests", frozenset({"no-store", "max-age=0"}))


def test_what_later_parts_act_on_is_kept() -> None:
    found = read_prism_headers(
        [
            (b"x-prism-provider-lock", b"openai"),
            (b"x-prism-config", b'{"retry":1}'),
            (b"x-guardrail-policy", b"strict"),
            (b"x-prism-async", b"1"),
            (b"x-prism-request-id", b"mine"),
        ]
    )
    assert (found.provider_lock, found.config, found.guardrail_policy) == ("openai", b'{"retry":1}', "strict")
    assert (found.is_async, found.client_request_id) == (True, "mine")
    assert refusal(read(config="x" * 8_193)).code == "header_too_long"


_NAMES = st.sampled_from(
    ["session-id", "metadata", "metadata-a", "property-b", "trace-id", "cache-ttl", "timeout", "config", "user-id"]
)


@given(st.lists(st.tuples(_NAMES, st.binary(max_size=80)), max_size=6))
def test_no_value_raises_and_no_warning_breaks_a_head(values: list[tuple[str, bytes]]) -> None:
    found = read_prism_headers([(f"x-prism-{name}".encode(), value) for name, value in values])
    lines = found.warnings.split(b"\r\n")
    assert lines.pop() == b""
    assert all(line.startswith(b"X-Prism-Warning: ") and b"\n" not in line for line in lines)
    assert "\r" not in found.trace_id
    assert len(found.metadata) <= MAX_METADATA_KEYS


@pytest.mark.parametrize(
    ("headers", "session"),
    [
        ([(b"x-claude-code-session-id", b"abc")], "abc"),
        ([(b"x-session-id", b"two"), (b"x-claude-code-session-id", b"one")], "one"),
        ([(b"session_id", b"x" * 256)], ""),
        ([(b"session-id", b"a\x01b")], ""),
        ([(b"traceparent", b"00-x")], ""),
    ],
)
def test_a_session_of_another_header_is_for_routing_alone(headers: list[tuple[bytes, bytes]], session: str) -> None:
    read = read_prism_headers(headers)
    assert (read.client_session, read.session.id, read.fault) == (session, "", None)
