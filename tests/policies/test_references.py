"""Which objects a body names: found wherever an upstream could find them, and nowhere else."""

import json

import msgspec
import pytest

from proxy.config.presets import PRESETS
from proxy.errors import InvalidRequest
from proxy.policies.references import MAX_REFERENCES, MAX_VALUES, check_models, find


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
        ({"prompt": {"id": "pmpt_1", "version": "2"}}, {("prompt", "pmpt_1")}),
        (
            {"prompt": {"id": "pmpt_1", "variables": {"x": {"type": "input_file", "file_id": "file-1"}}}},
            {("prompt", "pmpt_1"), ("file_id", "file-1")},
        ),
        ({"conversation": {"Id": "conv_1"}}, {("conversation", "conv_1")}),
        ({"skills": [{"type": "skill_reference", "skill_id": "skill_1"}]}, {("skill_id", "skill_1")}),
        (
            {"container": {"id": "cntr_1", "skills": [{"type": "custom", "skill_id": "skill_1", "version": "1"}]}},
            {("container", "cntr_1"), ("skill_id", "skill_1")},
        ),
        (
            {"tools": [{"type": "shell", "environment": {"skills": [{"skill_id": "skill_1"}]}}]},
            {("skill_id", "skill_1")},
        ),
        ({"skill_ids": ["skill_1", {"id": "skill_2"}]}, {("skill_ids", "skill_1"), ("skill_ids", "skill_2")}),
        ({"cachedContent": "cachedContents/1"}, {("cachedContent", "cachedContents/1")}),
        ({"cached_content": "cachedContents/1"}, {("cached_content", "cachedContents/1")}),
        (
            {"contents": [{"parts": [{"fileData": {"fileUri": "https://x.googleapis.com/v1beta/files/1"}}]}]},
            {("fileUri", "https://x.googleapis.com/v1beta/files/1")},
        ),
        ({"contents": [{"parts": [{"file_data": {"file_uri": "files/1"}}]}]}, {("file_uri", "files/1")}),
        (
            {"contents": [{"parts": [{"fileData": {"fileUri": "gs://bucket/1"}}]}]},
            {("fileUri", "gs://bucket/1")},
        ),
        (
            {"contents": [{"parts": [{"fileData": {"fileUri": "https://proxy.test/v1beta/%66iles/1"}}]}]},
            {("fileUri", "https://proxy.test/v1beta/%66iles/1")},
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"parts": [{"fileData": {"fileUri": "files/1"}}]}}]}]},
            {("fileUri", "files/1")},
        ),
        (
            {"tools": [{"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/1"]}}]},
            {("fileSearchStoreNames", "fileSearchStores/1")},
        ),
        (
            {"tools": [{"file_search": {"file_search_store_names": ["fileSearchStores/1"]}}]},
            {("file_search_store_names", "fileSearchStores/1")},
        ),
        (
            {"images": [{"file_id": "file-1"}], "mask": {"file_id": "file-2"}},
            {("file_id", f"file-{n}") for n in (1, 2)},
        ),
        ({"input_reference": {"file_id": "file-1"}}, {("file_id", "file-1")}),
        ({"characters": [{"id": "char_1"}]}, {("characters", "char_1")}),
        ({"voice": {"id": "voice_1"}}, {("voice", "voice_1")}),
        ({"audio": {"voice": {"id": "voice_1"}, "format": "wav"}}, {("voice", "voice_1")}),
        ({"tools": [{"type": "document_library", "library_ids": ["lib_1"]}]}, {("library_ids", "lib_1")}),
        ({"tools": [{"type": "collections_search", "collection_ids": ["c_1"]}]}, {("collection_ids", "c_1")}),
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


@pytest.mark.parametrize("name", ["File_ID", "file_İd".replace("İ", "I"), "FILE_ID", "file_idſ", "File_Idſ"])
def test_a_key_in_other_letters_hides_nothing(name: str) -> None:
    ids = {id_ for _, id_ in found({"input": [{name: ["file-1"]}]})}
    assert ids == {"file-1"}
    assert found(json.dumps({"input": [{name: ["file-1"]}]}, ensure_ascii=False).encode()) == found(
        {"input": [{name: ["file-1"]}]}
    )


@pytest.mark.parametrize("name", [b"vector_\\u017ftore_ids", "vector_ſtore_ids".encode(), "s\u212aill_id".encode()])
def test_a_key_with_letters_that_go_reads_as_others_hides_nothing(name: bytes) -> None:
    assert {id_ for _, id_ in found(b'{"tools":[{"%b":["vs_1"]}]}' % name)} == {"vs_1"}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "what is a file_id?"}]},
        {"prompt": "a text", "voice": "alloy"},
        {"prompt": ["a text", "another"]},
        {"container": {"skills": [{"type": "anthropic", "skill_id": "pptx", "version": "latest"}]}},
        {"contents": [{"parts": [{"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}}]}]},
        {"contents": [{"parts": [{"fileData": {"fileUri": "https://example.com/files/a.pdf"}}]}]},
        {"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"fileUri": "files/1", "file_id": "x"}}}]}]},
        {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {"file_id": "file-1"}}}]}]},
        {"messages": [{"content": [{"type": "tool_use", "name": "f", "input": {"file_id": "file-1"}}]}]},
        {"tools": [{"name": "f", "input_schema": {"properties": {"file_id": {"default": "file-1"}}}}]},
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
    ids = [f"file-{number}" for number in range(MAX_REFERENCES + 1)]
    assert len(found({"file_ids": ids[1:]})) == MAX_REFERENCES
    for body in (
        {"file_ids": ids},
        {"input": [{"file_id": id_} for id_ in ids]},
        {"file_ids": ["file-1"] * (MAX_REFERENCES + 1)},
    ):
        with pytest.raises(InvalidRequest, match="more than 2000 objects"):
            found(body)


def test_a_body_that_names_objects_holds_only_so_many_values() -> None:
    text = "a, b, " * MAX_VALUES
    assert found({"input": [{"file_id": "file-1", "text": text}] + [0] * 1_000}) == {("file_id", "file-1")}
    with pytest.raises(InvalidRequest, match="more than 100000 values"):
        found({"input": [{"file_id": "file-1"}] + [0] * MAX_VALUES})
    assert found({"input": [0] * MAX_VALUES}) == set()


def refuses_models(body: object, kind: str) -> str | None:
    """The parameter that is blamed, or None where the body passes."""
    preset = PRESETS[kind]  # type: ignore[index]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    blamed: list[InvalidRequest] = []
    try:
        check_models(fields, preset.choosing, preset.choosing_in, {"usable", "also"}.__contains__)
    except InvalidRequest as error:
        blamed.append(error)
    assert all((error.status, error.code) == (400, "model_not_supported") for error in blamed)
    return blamed[0].param if blamed else None


ROUTERS = ("openrouter", "compatible")


@pytest.mark.parametrize("kind", ROUTERS)
@pytest.mark.parametrize("field", ["models", "fallbacks", "fallback_models", "route", "preset", "plugins", "provider"])
def test_a_field_that_chooses_further_models_is_refused_where_it_may_mean_something(kind: str, field: str) -> None:
    assert refuses_models({"model": "a", field: ["b"]}, kind) == field
    assert refuses_models({"model": "a", field: None}, kind) is None
    assert refuses_models({"model": "a", field: []}, kind) is None


@pytest.mark.parametrize("kind", ["groq", "mistral", "deepseek", "ollama", "vllm", "llamacpp", "openai", "gemini"])
@pytest.mark.parametrize("field", ["models", "fallbacks", "route", "preset", "plugins", "provider"])
def test_a_field_that_means_nothing_to_a_kind_passes(kind: str, field: str) -> None:
    assert refuses_models({"model": "a", field: ["b"]}, kind) is None


@pytest.mark.parametrize("kind", ROUTERS)
def test_what_the_key_may_use_may_be_named(kind: str) -> None:
    assert refuses_models({"models": ["usable", "also"]}, kind) is None
    assert refuses_models({"models": ["usable", "other"]}, kind) == "models"
    assert refuses_models({"models": ["usable", {"model": "other"}]}, kind) == "models"
    assert refuses_models({"tools": [{"model": "usable", "models": ["also"]}]}, kind) is None
    assert refuses_models({"tools": [{"model": "usable", "models": ["also", "other"]}]}, kind) == "tools.models"
    assert refuses_models(b'{"tools":[{"model":"usable","model":"other"}]}', kind) == "tools.model"


def test_what_single_kinds_read_is_refused_for_them() -> None:
    assert refuses_models({"fallbacks": [{"model": "b"}]}, "anthropic") == "fallbacks"
    assert refuses_models({"compound_custom": {"models": {"reasoning_model": "b"}}}, "groq") == "compound_custom"
    assert refuses_models({"lora_path": "b"}, "sglang") == "lora_path"
    for field in (
        "content_policy_fallbacks",
        "context_window_fallback_dict",
        "context_window_fallbacks",
        "user_config",
    ):
        assert refuses_models({field: {"a": ["b"]}}, "compatible") == field
    routing = {"routingConfig": {"manualMode": {"modelName": "b"}}}
    assert refuses_models({"generationConfig": routing}, "gemini") == "generationConfig.modelName"
    assert refuses_models({"generation_config": {"routing_config": {"manual_mode": {"model_name": "b"}}}}, "gemini")


@pytest.mark.parametrize("kind", ["openai", "azure", "anthropic", "openrouter", "compatible"])
@pytest.mark.parametrize(
    "tool",
    [
        {"type": "image_generation", "model": "gpt-image-1"},
        {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus"},
        {"type": "openrouter:fusion", "parameters": {"models": ["a", "b"]}},
        {"type": "image_generation", "Model": "gpt-image-1"},
        {"type": "function", "Type": "openrouter:fusion", "parameters": {"models": ["a", "b"]}},
    ],
)
def test_a_tool_that_chooses_a_model_is_refused(kind: str, tool: dict[str, object]) -> None:
    assert str(refuses_models({"tools": [tool]}, kind)).startswith("tools.")
    assert refuses_models({"tools": [tool]}, "vllm") is None


@pytest.mark.parametrize("kind", ["openai", "azure", "compatible"])
def test_a_grader_of_a_fine_tuning_job_that_chooses_a_model_is_refused(kind: str) -> None:
    method = {"type": "reinforcement", "reinforcement": {"grader": {"type": "score_model", "model": "o3"}}}
    assert refuses_models({"model": "a", "method": method}, kind) == "method.model"


@pytest.mark.parametrize("name", [b"m\\u006fdel", b"model"])
def test_a_tools_model_written_with_escapes_or_twice_is_refused(name: bytes) -> None:
    assert refuses_models(b'{"tools":[{"model":{},"%b":"gpt-image-1"}]}' % name, "openai") == "tools.model"


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "f", "parameters": {"properties": {"model": {"type": "string"}}}}},
        {"type": "function", "name": "f", "parameters": {"examples": [{"model": "a"}], "required": ["model"]}},
        {"name": "f", "input_schema": {"properties": {"model": {"enum": ["a"]}}, "default": {"model": "a"}}},
        {"functionDeclarations": [{"name": "f", "parameters": {"example": {"model": "a"}}}]},
        {"type": "web_search", "description": "find a model"},
    ],
)
def test_a_function_may_have_a_parameter_called_model(tool: dict[str, object]) -> None:
    for kind in ("openai", "anthropic", "openrouter", "compatible", "gemini"):
        assert refuses_models({"tools": [tool]}, kind) is None
