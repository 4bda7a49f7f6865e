"""The table of endpoints: what holds for every row."""

import re

import pytest

from proxy.endpoints.table import ROWS, dialect_at, endpoint_of, endpoints_by_format


def test_each_row_is_there_once() -> None:
    assert len({(row.method, row.path) for row in ROWS}) == len(ROWS)


def test_a_row_says_in_one_line_what_it_is_for() -> None:
    for row in ROWS:
        assert re.fullmatch(r"[A-Z][^\n]{10,100}\.", row.help), row.path


def test_the_model_stands_in_the_path_exactly_where_the_row_says_so() -> None:
    for row in ROWS:
        in_path = row.model == "path"
        assert ("{model}" in row.path) == ("{model}" in row.upstream_path) == in_path, row.path


def test_each_row_can_be_used_by_some_alias() -> None:
    assert all(row.capabilities for row in ROWS)


def test_each_capability_is_sent_to_the_first_row_that_takes_it() -> None:
    found = endpoint_of()
    assert found["chat"] == "/v1/chat/completions"
    assert found["embeddings"] == "/v1/embeddings"
    assert set(found) == {capability for row in ROWS for capability in row.capabilities}


def test_each_capability_has_an_endpoint_in_the_formats_that_know_it() -> None:
    found = endpoints_by_format()
    assert found["openai", "chat"] == "/v1/chat/completions"
    assert found["anthropic", "vision"] == "/v1/messages"
    assert found["gemini", "embeddings"] == "/v1beta/models/{model}:embedContent"
    assert ("anthropic", "embeddings") not in found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/messages", "anthropic"),
        ("/v1/messages/count_tokens", "anthropic"),
        ("/v1/messages/nothing", "anthropic"),
        ("/v1/messagesx", "openai"),
        ("/v1beta/models/a:generateContent", "gemini"),
        ("/v1beta/nothing", "gemini"),
        ("/v1/models/a:generateContent", "gemini"),
        ("/v1/models/a", "openai"),
        ("/v1/models/ft:a:generateContent:b", "openai"),
        ("/v1/models", "openai"),
        ("/v1", "openai"),
        ("/", "openai"),
        ("", "openai"),
        ("/nothing/messages", "openai"),
    ],
)
def test_a_path_that_is_no_rows_is_answered_in_the_dialect_of_the_nearest(path: str, name: str) -> None:
    assert dialect_at(path).name == name
