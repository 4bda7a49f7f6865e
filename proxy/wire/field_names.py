"""Names in a request's body that the gateway reads or guards, and the spellings of them that are refused.

Some servers match the names of JSON fields without case, as Go's `encoding/json` does, and take the last one that
matches. To them `Model` behind `model` is a second model, so that no such spelling may pass.
"""

import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from proxy.errors import InvalidRequest

#: Fields whose value is an id of an object at the upstream, a list of ids, or an object with one.
OBJECT_NAMES: Final = frozenset(
    {
        "agent_id",
        "assistant_id",
        "cachedContent",
        "cached_content",
        "collection_ids",
        "container",
        "container_id",
        "conversation",
        "fileSearchStoreNames",
        "fileUri",
        "file_id",
        "file_ids",
        "file_search_store_names",
        "file_uri",
        "input_file_id",
        "input_file_ids",
        "library_ids",
        "part_ids",
        "previous_interaction_id",
        "previous_response_id",
        "prompt_id",
        "skill_id",
        "skill_ids",
        "thread_id",
        "training_file",
        "upload_id",
        "validation_file",
        "vector_store_id",
        "vector_store_ids",
        "video_id",
    }
)
#: Fields whose value names an object only where it is an object with an `id`, or a list of such: else it is a text.
HOLDER_NAMES: Final = frozenset({"characters", "prompt", "voice"})
#: Fields by which the gateway decides what a request is, and what its bill says.
READ_NAMES: Final = frozenset(
    {
        "background",
        "best_of",
        "generateContentRequest",
        "generate_content_request",
        "include_usage",
        "model",
        "n",
        "purpose",
        "requests",
        "service_tier",
        "store",
        "stream",
        "stream_options",
    }
)
#: Fields by which some kind of upstream lets a client choose further models.
CHOOSING_NAMES: Final = frozenset(
    {
        "compound_custom",
        "content_policy_fallbacks",
        "context_window_fallback_dict",
        "context_window_fallbacks",
        "extra_body",
        "fallback_models",
        "fallbacks",
        "lora_path",
        "model_list",
        "models",
        "plugins",
        "preset",
        "provider",
        "route",
        "user_config",
    }
)
#: Names that choose a model wherever they stand in such a field, or in a tool.
MODEL_NAMES: Final = frozenset({"model", "modelName", "model_id", "model_name", "models"})
_GUARDED: Final = OBJECT_NAMES | HOLDER_NAMES | READ_NAMES | CHOOSING_NAMES | MODEL_NAMES
_SPELLED: Final = MappingProxyType({name.casefold(): name for name in _GUARDED})
#: Fields of a form by which it is routed or billed: each occurs once, written exactly so.
SINGLE_FIELDS: Final = frozenset(
    {
        "file",
        "model",
        "n",
        "purpose",
        "quality",
        "response_format",
        "seconds",
        "size",
        "stream",
        "stream_options",
    }
)
#: Fields of a form that are texts, whatever they look like.
TEXT_FIELDS: Final = frozenset({"metadata", "prompt"})
#: The beginning of a name in JSON that names an object, in small letters.
_NAMING: Final = re.compile(
    rb'"(?:' + b"|".join(sorted(name.lower().encode() for name in OBJECT_NAMES)) + rb')"|\\u|\xc5\xbf|\xe2\x84\xaa',
    re.IGNORECASE,
)
#: Names that most bodies have and that are no spelling of another: they are not looked at.
COMMON_NAMES: Final = _GUARDED | frozenset(
    {
        "dimensions",
        "encoding_format",
        "frequency_penalty",
        "include",
        "input",
        "instructions",
        "logprobs",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "stop_sequences",
        "system",
        "temperature",
        "text",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)


def check_names(names: Iterable[str]) -> None:
    """Refuse names that another server could read as one that the gateway guards. Raises `InvalidRequest`."""
    for name in names:
        if name not in COMMON_NAMES:
            check_name(name)


def check_name(name: str) -> None:
    """Refuse one name that another server could read as a guarded one. Raises `InvalidRequest`."""
    spelled = guarded_name(name)
    if spelled != name:
        raise InvalidRequest(
            f"The field '{name}' can be read as '{spelled}' too. Write '{spelled}', in exactly these letters.",
            param=spelled,
            code="ambiguous_field",
        )


def guarded_name(name: str) -> str:
    """The name that a server which matches names without case may take this one for; itself, where it guards none."""
    return name if name in _GUARDED else _SPELLED.get(name.casefold(), name)


def object_name_in(field: str) -> str:
    """The name under which a form's field names an object, as `images[0][file_id]` does; "" where it names none."""
    words = [word.strip("\"' ") for word in field.replace("]", "").replace(".", "[").split("[")]
    for number, word in enumerate(words):
        name = guarded_name(word)
        if name in OBJECT_NAMES:
            return name
        if name in HOLDER_NAMES and number + 1 < len(words) and words[-1].casefold() == "id":
            return name
    return ""


def may_be_json(field: str, value: bytes) -> bool:
    """Whether the value of a form's field may be read as JSON."""
    return value.lstrip()[:1] in (b"{", b"[") and field not in TEXT_FIELDS


def may_name_object(field: str, value: bytes) -> bool:
    """Whether the value of a form's field may be JSON that names an object."""
    return may_be_json(field, value) and _NAMING.search(value) is not None
