"""Anthropic's Messages for upstreams that speak OpenAI's chat completions, such as for Claude Code with any model."""

import hashlib
from typing import Any, ClassVar, Final

import msgspec

from proxy.dialects.base import Dialect, TargetTerms
from proxy.dialects.openai_chat import CHAT
from proxy.dialects.translate.chat_request import short_name, shortened_names, write_messages, write_tools
from proxy.dialects.translate.chat_response import ChatReader
from proxy.dialects.translate.mapper import (
    RequestMapper,
    Rule,
    dropped,
    dropped_unless,
    ignored,
    lossy,
    mapped,
    placed,
    refused,
)
from proxy.dialects.translate.messages_request import read_messages, read_system, read_tools
from proxy.dialects.translate.messages_response import MessagesMessageWriter, MessagesStreamWriter
from proxy.dialects.translate.schemas import decode_fields
from proxy.dialects.translate.translation import NO_TERMS, Translation
from proxy.dialects.translate.writer import ModelReader, ModelWriter

#: How many stop sequences a chat takes.
MAX_STOPS: Final = 4
#: Thinking budgets in tokens below which an effort is meant.
_EFFORTS: Final = ((2_048, "low"), (16_384, "medium"))
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}


def _max_tokens(mapper: RequestMapper, name: str) -> None:
    mapper.out[mapper.terms.max_tokens_field] = mapper.field(name)


def _stops(mapper: RequestMapper, name: str) -> None:
    stops = mapper.value(name)
    if isinstance(stops, list) and len(stops) > MAX_STOPS:
        mapper.refuse(name, f"a chat takes {MAX_STOPS} of them")
    if stops:
        mapper.out["stop"] = mapper.field(name)


def _stream(mapper: RequestMapper, name: str) -> None:
    mapper.out[name] = mapper.field(name)
    if mapper.body.stream and mapper.terms.takes_stream_options:
        mapper.out["stream_options"] = {"include_usage": True}


def _thinking(mapper: RequestMapper, name: str) -> None:
    value = mapper.value(name)
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "disabled":
        return
    if not mapper.terms.reasoning:
        mapper.drop(name)
        return
    budget = value.get("budget_tokens") if isinstance(value, dict) else None
    if isinstance(budget, int):
        mapper.lose("thinking.budget_tokens", "a chat has efforts, and no budget of tokens")
        efforts = [effort for bound, effort in _EFFORTS if budget < bound]
        mapper.out["reasoning_effort"] = efforts[0] if efforts else "high"


def _output(mapper: RequestMapper, name: str) -> None:
    value = mapper.value(name)
    if not isinstance(value, dict):
        mapper.refuse(name, "it must be an object")
    effort = value.get("effort")
    if effort and mapper.terms.reasoning:
        if effort == "max":
            mapper.lose("output_config.effort", "the highest effort of a chat is `high`")
            effort = "high"
        mapper.out["reasoning_effort"] = effort
    elif effort:
        mapper.drop("output_config.effort")
    if value.get("format"):
        _format_of(mapper, _raw_format(mapper, name))


def _raw_format(mapper: RequestMapper, name: str) -> msgspec.Raw:
    raw = mapper.field(name)
    assert raw is not None
    fields: dict[str, msgspec.Raw] = mapper.decoded(raw, name, decode_fields)
    return fields["format"]


def _format(mapper: RequestMapper, name: str) -> None:
    raw = mapper.field(name)
    if raw is not None:
        _format_of(mapper, raw)


def _format_of(mapper: RequestMapper, raw: msgspec.Raw) -> None:
    """The schema of the output, with its numbers as they came."""
    fields: dict[str, msgspec.Raw] = mapper.decoded(raw, "output_config.format", decode_fields)
    kind = fields.get("type")
    if kind is None or bytes(kind) != b'"json_schema"' or "schema" not in fields:
        mapper.refuse("output_config.format", "it must be of the type `json_schema`, with a schema")
    schema = {"name": "output", "schema": fields["schema"], "strict": True}
    mapper.out["response_format"] = {"type": "json_schema", "json_schema": schema}


def _tool_choice(mapper: RequestMapper, name: str) -> None:
    value = mapper.value(name)
    kind = value.get("type") if isinstance(value, dict) else None
    if not mapper.out.get("tools"):
        if kind in ("any", "tool"):
            mapper.refuse(name, "there is no tool of the client's own to choose")
        return
    if kind == "tool":
        function = {"name": short_name(str(value.get("name")))}
        if function["name"] not in [one["function"]["name"] for one in mapper.out["tools"]]:
            mapper.refuse(name, "there is no tool of the client's own of this name")
        mapper.out[name] = {"type": "function", "function": function}
    elif kind in _CHOICES:
        mapper.out[name] = _CHOICES[kind]
    else:
        mapper.refuse(f"{name}.type", "it must be `auto`, `any`, `tool` or `none`")
    if value.get("disable_parallel_tool_use"):
        mapper.out["parallel_tool_calls"] = False


def _user(mapper: RequestMapper, name: str) -> None:
    value = mapper.value(name)
    user = value.get("user_id") if isinstance(value, dict) else None
    if isinstance(user, str) and user:
        mapper.out["user"] = hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()


FIELDS: Final[dict[str, Rule]] = {
    "model": placed(),
    "system": placed("messages", "the first message"),
    "messages": placed(),
    "max_tokens": mapped("max_tokens", _max_tokens, "`max_completion_tokens` at OpenAI and Azure"),
    "stream": mapped("stream", _stream, "with the usage asked for"),
    "temperature": mapped(),
    "top_p": mapped(),
    "top_k": dropped("a chat has none"),
    "stop_sequences": mapped("stop", _stops, "at most four; more are refused"),
    "tools": placed("tools", "those that the provider would run are left out, and noted"),
    "tool_choice": mapped("tool_choice", _tool_choice),
    "thinking": lossy("an effort, for aliases with `reasoning = true`; else left out", _thinking, "reasoning_effort"),
    "output_config": lossy("the effort likewise; the format is `response_format`", _output, "reasoning_effort"),
    "output_format": mapped("response_format", _format),
    "metadata": mapped("user", _user, "`user_id` as its SHA-256"),
    "service_tier": dropped_unless("auto", "standard_only", why="each provider has tiers of its own"),
    "cache_control": ignored("nearly every chat caches by itself"),
    "container": dropped("a chat has none"),
    "context_management": dropped("it shortens what the client sends in full"),
    "diagnostics": dropped("a chat has none"),
    "inference_geo": dropped("a chat has none"),
    "speed": dropped("a chat has none"),
    "fallbacks": refused("another model would answer"),
    "mcp_servers": refused("the provider would run the tools of servers"),
}


class MessagesToChat(Translation):
    """`/v1/messages` at upstreams of chat completions."""

    caller = "anthropic"
    target = "openai"
    endpoints = ("/v1/messages",)
    pair = "messages>chat"
    fields: ClassVar[dict[str, Rule]] = FIELDS

    def __init__(self, terms: TargetTerms = NO_TERMS) -> None:
        super().__init__(terms)
        self._names: dict[str, str] = {}

    def path(self, path: bytes, stream: bool) -> bytes:
        return b"/chat/completions"

    def map(self, mapper: RequestMapper) -> None:
        out: dict[str, Any] = mapper.out
        out["model"] = self.terms.model
        out["messages"] = write_messages(mapper, read_system(mapper), read_messages(mapper))
        tools = read_tools(mapper)
        self._names = shortened_names(mapper, tools)
        if tools:
            out["tools"] = write_tools(tools)
        mapper.map(FIELDS)

    def target_dialect(self) -> Dialect:
        return CHAT

    def model_reader(self, writer: ModelWriter) -> ModelReader:
        return ChatReader(writer, self._names)

    def stream_writer(self) -> ModelWriter:
        return MessagesStreamWriter(self.terms.alias, self.request)

    def message_writer(self) -> ModelWriter:
        return MessagesMessageWriter(self.terms.alias, self.request)
