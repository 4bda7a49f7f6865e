"""Anthropic's Messages as requests: how their messages, tools and formats are read and written.

Facts of the wire: https://docs.anthropic.com/en/api/messages.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from proxy.dialects.meters import NOTHING
from proxy.dialects.translate.mapper import RequestMapper
from proxy.dialects.translate.media import MESSAGES_IMAGES
from proxy.dialects.translate.schemas import (
    CallPart,
    MediaPart,
    Message,
    MessageBlock,
    MessageTool,
    ResultPart,
    TextPart,
    ThinkingPart,
    Tool,
    Turn,
    decode_blocks,
    decode_message_tools,
    decode_messages,
)
from proxy.dialects.translate.texts import arguments_text, text_of

_STRING: Final = 0x22
#: A line that Claude Code puts before its system prompt. It differs in each request, and so would spoil a prompt cache.
_BILLING: Final = b'"x-anthropic-billing-header'
_CACHED: Final = {"type": "ephemeral"}
_NO_PARAMETERS: Final = b'{"type":"object","properties":{}}'
#: What a provider's own tool did; its outcome is in the text.
_SERVER_BLOCKS: Final = frozenset(
    {"server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result"}
)
#: Tools that are the client's own, by their type.
_OWN_TOOLS: Final = (None, "custom")


def read_system(mapper: RequestMapper, name: str = "system") -> list[TextPart]:
    """The system prompt."""
    raw = mapper.field(name)
    if raw is None:
        return []
    return [one for one in _blocks(mapper, raw, name) if not one.text.startswith(_BILLING)]


def read_messages(mapper: RequestMapper, name: str = "messages") -> list[Turn]:
    """The turns; consecutive ones of the same role are one."""
    raw = mapper.field(name)
    messages: list[Message] = mapper.decoded(raw, name, decode_messages) if raw is not None else []
    turns: list[Turn] = []
    for at, message in enumerate(messages):
        if message.role not in ("user", "assistant"):
            mapper.refuse(f"{name}[{at}].role", f"the role `{message.role[:40]}` is not known")
        parts = _blocks(mapper, message.content, f"{name}[{at}].content")
        if parts and turns and turns[-1].role == message.role:
            turns[-1].parts += parts
        elif parts:
            turns.append(Turn(message.role, parts))
    return turns


def _blocks(mapper: RequestMapper, raw: msgspec.Raw, path: str) -> list[Any]:
    """The parts of a content, which is a text or a list of blocks; empty texts are none."""
    if raw in NOTHING:
        return []
    if bytes(raw)[0] == _STRING:
        text = text_of(raw)
        return [TextPart(text)] if text else []
    found: list[Any] = []
    for at, block in enumerate(mapper.decoded(raw, path, decode_blocks)):
        found += _block(mapper, block, f"{path}[{at}]")
    return found


def _block(mapper: RequestMapper, block: MessageBlock, path: str) -> list[Any]:
    kind = block.type
    cached = block.cache_control not in NOTHING
    if kind == "text":
        text = text_of(block.text)
        return [TextPart(text, cached)] if text else []
    if kind == "tool_use":
        arguments = arguments_text(block.input)
        if arguments is None:
            mapper.refuse(f"{path}.input", "it must be an object")
        return [CallPart(block.id, block.name, arguments)]
    if kind == "tool_result":
        parts = _blocks(mapper, block.content, f"{path}.content")
        for one in parts:
            if not isinstance(one, TextPart | MediaPart):
                mapper.refuse(f"{path}.content", "the result of a tool can only be texts, images and documents")
        return [ResultPart(block.tool_use_id, parts, bool(block.is_error), cached=cached)]
    if kind == "thinking":
        return [ThinkingPart(text_of(block.thinking) or b'""', block.signature or "")]
    if kind == "redacted_thinking":
        return [ThinkingPart(b'""', redacted=block.data or "")]
    if kind in _SERVER_BLOCKS:
        mapper.drop(f"messages.{kind}")
        return []
    if kind not in ("image", "document"):
        mapper.refuse(f"{path}.type", f"a block of the type `{kind[:40]}` has no counterpart")
    return _media(mapper, block, path, cached)


def _media(mapper: RequestMapper, block: MessageBlock, path: str, cached: bool) -> list[Any]:
    source = block.source
    kind = source.type if source is not None else ""
    if source is None or kind not in ("base64", "url", "text", "content"):
        mapper.refuse(
            f"{path}.source", "it must be base64, text, content or a URL; a file's id belongs to its provider"
        )
    if kind == "content":
        return _blocks(mapper, source.content, f"{path}.source.content")
    if kind == "text":
        texts = [TextPart(one) for one in (text_of(block.title), text_of(source.data)) if one]
        return list(texts)
    if kind == "url":
        return [MediaPart(block.type, url=text_of(source.url), name=text_of(block.title), cached=cached)]
    data = text_of(source.data)
    if not data or b"\\u" in data or '"' in source.media_type or "\\" in source.media_type:
        mapper.refuse(f"{path}.source.data", "it must be base64 with its media type")
    return [
        MediaPart(
            block.type,
            source.media_type,
            data[1:-1].replace(b"\\/", b"/"),
            name=text_of(block.title),
            cached=cached,
        )
    ]


def read_tools(mapper: RequestMapper, name: str = "tools") -> list[Tool]:
    """The client's own tools. Those that the provider would run are left out, and noted."""
    raw = mapper.field(name)
    tools: list[MessageTool] = mapper.decoded(raw, name, decode_message_tools) if raw is not None else []
    found: list[Tool] = []
    for tool in tools:
        if tool.type not in _OWN_TOOLS:
            mapper.drop(f"{name}.{tool.type}")
            continue
        parameters = b"" if tool.input_schema in NOTHING else bytes(tool.input_schema)
        found.append(Tool(tool.name, text_of(tool.description), parameters, tool.strict))
    return found


def write_system(parts: list[TextPart]) -> Any:
    """The system prompt: one text as such, several as blocks."""
    if len(parts) == 1 and not parts[0].cached:
        return msgspec.Raw(parts[0].text)
    return [_with_cache({"type": "text", "text": msgspec.Raw(part.text)}, part.cached) for part in parts]


def write_messages(mapper: RequestMapper, turns: list[Turn]) -> list[dict[str, Any]]:
    """The messages. Results stand before what the user says in the same turn."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        results = [part for part in turn.parts if isinstance(part, ResultPart)]
        others = [part for part in turn.parts if not isinstance(part, ResultPart)]
        blocks = [_write_result(mapper, part) for part in results]
        blocks += _write_parts(mapper, others)
        if len(blocks) == 1 and blocks[0]["type"] == "text" and len(blocks[0]) == 2:
            messages.append({"role": turn.role, "content": blocks[0]["text"]})
        elif blocks:
            messages.append({"role": turn.role, "content": blocks})
    return messages


def _write_result(mapper: RequestMapper, result: ResultPart) -> dict[str, Any]:
    content: Any = _write_parts(mapper, result.parts)
    if len(content) == 1 and content[0]["type"] == "text":
        content = content[0]["text"]
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.id}
    if content:
        block["content"] = content
    if result.is_error:
        block["is_error"] = True
    return _with_cache(block, result.cached)


def _write_parts(mapper: RequestMapper, parts: Sequence[Any]) -> list[dict[str, Any]]:
    return [block for part in parts if (block := _write_part(mapper, part)) is not None]


def _write_part(mapper: RequestMapper, part: Any) -> dict[str, Any] | None:
    if isinstance(part, TextPart):
        return _with_cache({"type": "text", "text": msgspec.Raw(part.text)}, part.cached)
    if isinstance(part, CallPart):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": msgspec.Raw(part.arguments)}
    if isinstance(part, ThinkingPart):
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.redacted}
        if not part.signature:
            # Without its signature it is refused, and means nothing.
            return None
        return {"type": "thinking", "thinking": msgspec.Raw(part.text), "signature": part.signature}
    if part.kind not in ("image", "document"):
        mapper.refuse("messages", f"{part.kind} has no counterpart")
    if part.url:
        source: dict[str, Any] = {"type": "url", "url": msgspec.Raw(part.url)}
    else:
        if part.kind == "image" and part.media_type not in MESSAGES_IMAGES:
            mapper.refuse("messages", f"an image must be one of {', '.join(MESSAGES_IMAGES)}")
        if part.kind == "document" and part.media_type != "application/pdf":
            mapper.refuse("messages", "a document must be application/pdf")
        source = {"type": "base64", "media_type": part.media_type, "data": part.data.decode()}
    block: dict[str, Any] = {"type": part.kind, "source": source}
    if part.kind == "document" and part.name:
        block["title"] = msgspec.Raw(part.name)
    return _with_cache(block, part.cached)


def _with_cache(block: dict[str, Any], cached: bool) -> dict[str, Any]:
    if cached:
        block["cache_control"] = _CACHED
    return block


def write_tools(tools: list[Tool]) -> list[dict[str, Any]]:
    """The client's tools. One without parameters has none in words."""
    found: list[dict[str, Any]] = []
    for tool in tools:
        one: dict[str, Any] = {"name": tool.name}
        if tool.description:
            one["description"] = msgspec.Raw(tool.description)
        one["input_schema"] = msgspec.Raw(tool.parameters or _NO_PARAMETERS)
        if tool.strict is not None:
            one["strict"] = tool.strict
        found.append(one)
    return found
