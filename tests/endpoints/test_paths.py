"""Paths that are written in another way, or wrongly: what is served, and what is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.paths import MAX_WRONG_PATH, Mistakes, is_for_clients, respelled
from proxy.endpoints.table import ROWS
from proxy.resources.table import RESOURCE_ROWS

FIXED = frozenset(["/v1/models", *(row.path for row in ROWS if "{" not in row.path)])


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("//v1/chat/completions", "/v1/chat/completions"),
        ("/v1//chat/completions", "/v1/chat/completions"),
        ("/v1/chat//completions", "/v1/chat/completions"),
        ("///v1///chat///completions///", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/v1/v1/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/v1//v1/messages", "/v1/messages"),
        ("/v1beta/v1beta/models/a:generateContent", "/v1beta/models/a:generateContent"),
        ("/v1beta//models/a/b:generateContent", "/v1beta/models/a/b:generateContent"),
        ("/v1/v1/files/file-1/content/", "/v1/files/file-1/content"),
        ("/v1//files", "/v1/files"),
        ("/v1/models/", "/v1/models"),
        ("/v1/models/team/v1/v1/", "/v1/models/team/v1/v1"),
        ("/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/openai/v1/v1/responses", "/v1/responses"),
        ("//openai//v1//models", "/v1/models"),
        ("/openai/responses/resp_1", "/v1/responses/resp_1"),
        ("/openai/models", "/v1/models"),
    ],
)
def test_another_spelling_of_a_path_is_understood(path: str, meant: str) -> None:
    assert respelled(path, FIXED) == meant


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/v1",
        "/v1/v1",
        "//livez",
        "/livez/",
        "//admin/keys",
        "/admin//keys/",
        "/-//reload",
        "/v1x//y",
        "/openai",
        "/openai/deployments/a/chat/completions",
        "/v1beta/v1/chat/completions",
    ],
)
def test_what_is_no_other_spelling_stays_as_it_is(path: str) -> None:
    assert respelled(path, FIXED) == path


@pytest.mark.parametrize("path", ["/v1/threads//runs", "/v1/files//content", "/v1/vector_stores/vs_1//file_batches"])
def test_an_id_that_was_forgotten_does_not_lead_to_another_endpoint(path: str) -> None:
    assert respelled(path, FIXED) == path


@given(st.text("/v1beta:.openaichat", max_size=40))
def test_a_path_is_respelled_once_and_for_all(text: str) -> None:
    once = respelled(f"/{text}", FIXED)
    assert respelled(once, FIXED) == once


@pytest.fixture(scope="module")
def mistakes() -> Mistakes:
    return Mistakes(ROWS, [row.path for row in RESOURCE_ROWS])


@pytest.mark.parametrize(
    ("path", "meant", "dialect"),
    [
        ("/chat/completions", "/v1/chat/completions", "openai"),
        ("/embeddings", "/v1/embeddings", "openai"),
        ("/v1/chat/completions/chat/completions", "/v1/chat/completions", "openai"),
        ("/v1/chat/completions/v1/chat/completions", "/v1/chat/completions", "openai"),
        ("/v1/chat/completions/embeddings", "/v1/embeddings", "openai"),
        ("/v1/chat/completions/models", "/v1/models", "openai"),
        ("/v1/messages/v1/messages", "/v1/messages", "anthropic"),
        ("/messages", "/v1/messages", "anthropic"),
        ("/anthropic/v1/messages", "/v1/messages", "anthropic"),
        ("/messages/count_tokens", "/v1/messages/count_tokens", "anthropic"),
        ("/api/v1/chat/completions", "/v1/chat/completions", "openai"),
        ("/v1beta/openai/chat/completions", "/v1/chat/completions", "openai"),
        ("/v1beta/v1/chat/completions", "/v1/chat/completions", "openai"),
        ("/models/a:generateContent", "/v1beta/models/a:generateContent", "gemini"),
        ("/v1/v1beta/models/a:streamGenerateContent", "/v1beta/models/a:streamGenerateContent", "gemini"),
        ("/gemini/v1beta/models/a:countTokens", "/v1beta/models/a:countTokens", "gemini"),
        ("/models", "/v1/models", "openai"),
        ("/models/a/b", "/v1/models/a/b", "openai"),
        ("/files/file-1/content", "/v1/files/file-1/content", "openai"),
        ("/api/v1/batches", "/v1/batches", "openai"),
    ],
)
def test_a_mistake_that_is_certain_is_told(mistakes: Mistakes, path: str, meant: str, dialect: str) -> None:
    found = mistakes.meant(path)
    assert found is not None
    assert (found.path, found.dialect) == (meant, dialect)
    assert f"Did you mean {meant}? Set the SDK's base URL to this gateway's address" in found.hint
    assert ("/v1 behind it" in found.hint) == (dialect == "openai")


@pytest.mark.parametrize("path", ["/v1beta/models/a:predict", "/v1beta/models/a:generateContent/x"])
def test_a_method_that_gemini_s_format_has_not_is_no_other_format_s(mistakes: Mistakes, path: str) -> None:
    assert mistakes.meant(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/v1",
        "/nothing",
        "/x/chat/completions",
        "/v1/engines/a/completions",
        "/usage",
        "/chat",
        "/v1/a/search",
        "/v1/files/a/b/c",
    ],
)
def test_nothing_is_guessed(mistakes: Mistakes, path: str) -> None:
    assert mistakes.meant(path) is None


def test_a_path_too_long_to_be_a_mistake_is_not_looked_at(mistakes: Mistakes) -> None:
    assert mistakes.meant("/v1" * (MAX_WRONG_PATH // 3) + "/chat/completions") is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/chat/completions", True),
        ("/v1beta/models/a:generateContent", True),
        ("/openai/deployments/a/chat/completions", True),
        ("/chat/completions", True),
        ("/v1", True),
        ("/", False),
        ("/livez", False),
        ("/admin/v1", False),
        ("/v1x", False),
    ],
)
def test_paths_for_clients_are_told_from_others(path: str, expected: bool) -> None:
    assert is_for_clients(path) is expected
