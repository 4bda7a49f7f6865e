"""Which objects a body names: found wherever an upstream could find them, and nowhere else."""

import json

import msgspec
import pytest

from proxy.errors import InvalidRequest
from proxy.policies.references import MOST, find


def found(body: object) -> set[tuple[str, str]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return set(find(msgspec.json.decode(data, type=dict[str, msgspec.Raw])))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"previous_response_id": "resp_1"}, {("previous_response_id", "resp_1")}),
        ({"conversation": "conv_1"}, {("conversation", "conv_1")}),
        ({"conversation": {"id": "conv_1"}}, {("conversation", "conv_1")}),
        ({"file_ids": ["file-1", "file-2"]}, {("file_ids", "file-1"), ("file_ids", "file-2")}),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
            {("file_id", "file-1")},
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
            {("file_id", "file-1")},
        ),
        (
            {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
            {("vector_store_ids", "vs_1")},
        ),
        (
            {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1"]}}]},
            {("file_ids", "file-1")},
        ),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, {("container", "cntr_1")}),
        (
            {"tool_resources": {"file_search": {"vector_stores": [{"file_ids": ["file-1"]}]}}},
            {("file_ids", "file-1")},
        ),
        ({"files": [{"file_id": "file-1", "attributes": {}}]}, {("file_id", "file-1")}),
    ],
)
def test_an_id_is_found_where_the_api_takes_one(body: object, expected: set[tuple[str, str]]) -> None:
    assert found(body) == expected


def test_a_repeated_key_hides_nothing() -> None:
    assert found(b'{"input":[{"file_id":"file-mine","file_id":"file-theirs"}]}') == {
        ("file_id", "file-mine"),
        ("file_id", "file-theirs"),
    }


@pytest.mark.parametrize("name", [b"file\\u005fid", b"\\u0066ile_id", b"file_i\\u0064", b"f\\u0069le\\u005Fid"])
def test_a_key_written_with_escapes_hides_nothing(name: bytes) -> None:
    assert found(b'{"input":[{"%b":"file-1"}]}' % name) == {("file_id", "file-1")}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "what is a file_id?"}]},
        {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "caf\u00e9"}]},
        {"messages": [{"role": "user", "content": '{"file_id": "file-1"}'}]},
        {"metadata": {"file_id": "file-1"}},
        {"input": [{"type": "message", "metadata": {"file_id": "file-1"}}]},
        {"tools": [{"type": "function", "parameters": {"properties": {"file_id": {"default": "file-1"}}}}]},
        {"previous_response_id": None, "conversation": None},
    ],
)
def test_what_only_looks_like_a_reference_is_none(body: object) -> None:
    assert found(body) == set()


def test_a_body_may_name_only_so_many() -> None:
    with pytest.raises(InvalidRequest):
        found({"file_ids": [f"file-{number}" for number in range(MOST + 1)]})
