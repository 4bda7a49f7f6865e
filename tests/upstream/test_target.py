"""The head of a request to a target: what its kind and its configuration make of it. No connection is opened."""

import asyncio
from typing import Any

import pytest

from proxy.config.tree import Kind, Upstream
from proxy.upstream.pool import Pool
from proxy.upstream.target import Target, compile_target


def target(kind: Kind = "compatible", url: str = "https://h.example/v1", name: str = "x", **settings: Any) -> Target:
    async def compiled() -> Target:
        return compile_target(f"u/{name}", {"u": Pool("u", Upstream(kind=kind, base_url=url, **settings))})

    return asyncio.run(compiled())


def head(of: Target, path: str = "/chat/completions", forwarded: bytes = b"") -> list[str]:
    lines = of.head(path.encode(), forwarded, 7).decode().split("\r\n")
    assert lines[-2:] == ["", ""]
    return lines[:-2]


def test_the_request_line_is_the_path_below_the_base_url() -> None:
    assert head(target())[0] == "POST /v1/chat/completions HTTP/1.1"


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("compatible", "authorization: Bearer secret"),
        ("azure", "api-key: secret"),
        ("anthropic", "x-api-key: secret"),
        ("gemini", "x-goog-api-key: secret"),
    ],
)
def test_the_credential_is_sent_as_the_kind_wants_it(kind: Kind, line: str) -> None:
    lines = head(target(kind, api_key="secret"))
    assert [one for one in lines if "secret" in one] == [line]


def test_without_a_credential_none_is_sent() -> None:
    assert not any(line.startswith("authorization") for line in head(target()))


def test_the_headers_of_the_kind_are_sent() -> None:
    assert "anthropic-version: 2023-06-01" in head(target("anthropic"))


def test_headers_of_the_configuration_win_whatever_their_case() -> None:
    lines = head(target("anthropic", headers={"Anthropic-Version": "2099-01-01"}))
    assert [line for line in lines if "version" in line] == ["anthropic-version: 2099-01-01"]


@pytest.mark.parametrize(
    ("own", "forwarded", "sent"),
    [
        ({}, b"", "2023-06-01"),
        ({}, b"anthropic-version: 2024-02-02\r\n", "2024-02-02"),
        ({}, b"anthropic-beta: x\r\nanthropic-version: 2024-02-02\r\n", "2024-02-02"),
        ({}, b"anthropic-beta: anthropic-version: x\r\n", "2023-06-01"),
        ({"Anthropic-Version": "2099-01-01"}, b"anthropic-version: 2024-02-02\r\n", "2099-01-01"),
    ],
)
def test_the_version_is_sent_once_the_configurations_before_the_clients_before_the_kinds(
    own: dict[str, str], forwarded: bytes, sent: str
) -> None:
    lines = head(target("anthropic", headers=own), forwarded=forwarded)
    assert [line for line in lines if line.startswith("anthropic-version")] == [f"anthropic-version: {sent}"]


def test_the_clients_other_headers_are_kept_beside_the_version() -> None:
    forwarded = b"anthropic-version: 2024-02-02\r\nanthropic-beta: x\r\n"
    lines = head(target("anthropic", headers={"anthropic-version": "2099-01-01"}), forwarded=forwarded)
    assert "anthropic-beta: x" in lines


def test_the_model_stands_in_the_path_where_the_endpoint_has_it() -> None:
    lines = head(target("gemini", "https://h/v1beta", name="tuned/a b"), "/models/{model}:generateContent")
    assert lines[0] == "POST /v1beta/models/tuned%2Fa%20b:generateContent HTTP/1.1"


def test_the_model_stands_in_the_path_where_the_address_has_it() -> None:
    url = "https://r.openai.azure.com/openai/deployments/{model}"
    lines = head(target("azure", url, name="my gpt", query={"api-version": "2024-10-21"}))
    assert lines[0] == "POST /openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21 HTTP/1.1"


def test_the_query_of_the_configuration_joins_the_clients() -> None:
    assert head(target(query={"a": "1 2", "b": "&"}), "/messages?beta=true")[0] == (
        "POST /v1/messages?beta=true&a=1+2&b=%26 HTTP/1.1"
    )


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/rerank", "POST /v2/rerank HTTP/1.1"),
        ("/rerank?a=1", "POST /v2/rerank?a=1 HTTP/1.1"),
        ("/embeddings", "POST /compatibility/v1/embeddings HTTP/1.1"),
    ],
)
def test_a_path_that_the_kind_has_elsewhere_is_sent_there(path: str, line: str) -> None:
    assert head(target("cohere", "https://api.cohere.ai/compatibility/v1"), path)[0] == line


@pytest.mark.parametrize(
    ("kind", "own", "taken"),
    [
        ("compatible", None, True),
        ("mistral", None, False),
        ("compatible", False, False),
        ("mistral", True, True),
    ],
)
def test_the_configurations_own_stream_options_win_over_the_kinds(kind: Kind, own: bool | None, taken: bool) -> None:
    assert target(kind, stream_options=own).takes_stream_options is taken


def test_a_target_speaks_the_formats_of_its_kind() -> None:
    assert target("vllm").dialects == {"openai", "anthropic"}


def test_what_an_upstream_may_quote_and_no_client_may_read_is_known() -> None:
    hidden = target(
        url="https://h.example/tenant-77/openai-v1/v1",
        api_key="key+with/signs=",
        headers={"X-Token": "Bearer tokentoken", "X-Short": "short", "anthropic-version": "2023-06-01"},
        query={"sig": "a signature", "api-version": "2024-10-21-preview", "v": "v1"},
    ).hidden
    assert set(hidden) == {
        "tenant-77",
        "openai-v1",
        "key+with/signs=",
        "key%2Bwith%2Fsigns%3D",
        "Bearer tokentoken",
        "Bearer+tokentoken",
        "tokentoken",
        "a signature",
        "a+signature",
    }
    assert set(hidden.values()) == {"***"}
    assert target().hidden == {}
