"""OpenAI's chat completions as requests: how their messages, tools and formats are read and written.

Facts of the wire: https://platform.openai.com/docs/api-reference/chat/create.
"""

import hashlib
from typing import Any, Final

import msgspec

from proxy.dialects.meters import NOTHING
from proxy.dialects.translate.mapper import RequestMapper
from proxy.dialects.translate.media import data_url, media_of
from proxy.dialects.translate.schemas import (
    CallPart,
    ChatCall,
    ChatMessage,
    ChatPart,
    ChatTool,
    MediaPart,
    ResultPart,
    TextPart,
    ThinkingPart,
    Tool,
    Turn,
    decode_blocks,
    decode_chat_messages,
    decode_chat_parts,
    decode_chat_tools,
)
from proxy.dialects.translate.texts import arguments_text, joined, json_string, text_of

_STRING: Final = 0x22
#: Names of tools beyond this many characters are shortened.
MAX_NAME: Final = 64
_ERROR: Final = b'"Error: "'


def read_messages(mapper: RequestMapper, name: str = "messages") -> tuple[list[TextPart], list[Turn]]:
    """The system prompt and the turns. Consecutive results of tools are one turn of the user's.

    A system message behind the first turn is moved to the front, which is noted: as a turn of the user's it would have
    another author.
    """
    system: list[TextPart] = []
    turns: list[Turn] = []
    raw = mapper.field(name)
    messages: list[ChatMessage] = mapper.decoded(raw, name, decode_chat_messages) if raw is not None else []
    for at, message in enumerate(messages):
        path = f"{name}[{at}]"
        role = message.role
        if role in ("system", "developer"):
            if turns:
                mapper.lose(f"{name}.{role}", "a system message must stand before all others")
            for part in _content(mapper, message.content, f"{path}.content"):
                if not isinstance(part, TextPart):
                    mapper.refuse(f"{path}.content", "a system message can only be text")
                system.append(part)
        elif role == "user":
            _add(turns, "user", _content(mapper, message.content, f"{path}.content"))
        elif role == "assistant":
            _add(turns, "assistant", _said(mapper, message, path))
        elif role == "tool":
            parts = _content(mapper, message.content, f"{path}.content")
            if any(isinstance(one, MediaPart) for one in parts):
                mapper.refuse(f"{path}.content", "the result of a tool can only be text here")
            _add(turns, "user", [ResultPart(message.tool_call_id, parts)])
        else:
            mapper.refuse(f"{path}.role", f"the role `{role[:40]}` is not known")
    return system, turns


def _add(turns: list[Turn], role: str, parts: list[Any]) -> None:
    """Add what was said to the turn of the same role before it, or begin one."""
    if not parts:
        return
    if turns and turns[-1].role == role:
        turns[-1].parts += parts
    else:
        turns.append(Turn(role, parts))


def _said(mapper: RequestMapper, message: ChatMessage, path: str) -> list[Any]:
    """What the model has said: its thoughts, its text, and its calls."""
    parts: list[Any] = []
    if message.thinking_blocks not in NOTHING:
        for block in mapper.decoded(message.thinking_blocks, f"{path}.thinking_blocks", decode_blocks):
            if block.type == "redacted_thinking" and block.data:
                parts.append(ThinkingPart(b'""', redacted=block.data))
            elif block.type == "thinking":
                parts.append(ThinkingPart(text_of(block.thinking) or b'""', block.signature or ""))
        # A stream brings the text and its signature one after the other.
        thought = text_of(message.reasoning_content)
        if thought and len(parts) == 1 and not parts[0].redacted:
            parts[0].text = thought
    elif text_of(message.reasoning_content):
        parts.append(ThinkingPart(text_of(message.reasoning_content)))
    parts += _content(mapper, message.content, f"{path}.content")
    if text_of(message.refusal):
        parts.append(TextPart(text_of(message.refusal)))
    if message.function_call not in NOTHING:
        mapper.refuse(f"{path}.function_call", "it is the older form of `tool_calls`, which is to be used")
    for at, call in enumerate(message.tool_calls or ()):
        parts.append(_call(mapper, call, f"{path}.tool_calls[{at}]"))
    return parts


def _call(mapper: RequestMapper, call: ChatCall, path: str) -> CallPart:
    function = call.function
    if call.type != "function" or function is None:
        mapper.refuse(f"{path}.type", "only functions can be called")
    arguments = arguments_text(function.arguments)
    if arguments is None:
        mapper.refuse(f"{path}.function.arguments", "they must be a JSON object")
    return CallPart(call.id, function.name, arguments)


def _content(mapper: RequestMapper, raw: msgspec.Raw, path: str) -> list[Any]:
    """The parts of a content, which is a text or a list; empty texts are none."""
    if raw in NOTHING:
        return []
    if bytes(raw)[0] == _STRING:
        text = text_of(raw)
        return [TextPart(text)] if text else []
    found: list[Any] = []
    for at, part in enumerate(mapper.decoded(raw, path, decode_chat_parts)):
        one = _part(mapper, part, f"{path}[{at}]")
        if one is not None:
            found.append(one)
    return found


def _part(mapper: RequestMapper, part: ChatPart, path: str) -> TextPart | MediaPart | None:
    cached = part.prompt_cache_breakpoint not in NOTHING
    kind = part.type
    if kind in ("text", "refusal"):
        text = text_of(part.text) or text_of(part.refusal)
        return TextPart(text, cached) if text else None
    if kind == "image_url" and part.image_url is not None:
        media = media_of(mapper, "image", _url(mapper, part.image_url.url, f"{path}.image_url.url"), path)
        media.cached = cached
        return media
    if kind == "file" and part.file is not None:
        if part.file.file_id not in NOTHING:
            mapper.refuse(f"{path}.file.file_id", "a file's id belongs to another provider; send its data")
        media = media_of(mapper, "document", _url(mapper, part.file.file_data, f"{path}.file.file_data"), path)
        media.name, media.cached = text_of(part.file.filename), cached
        return media
    if kind != "input_audio" or part.input_audio is None:
        mapper.refuse(f"{path}.type", f"the type `{kind[:40]}` has no counterpart")
    data = text_of(part.input_audio.data)
    if not data or b"\\u" in data:
        mapper.refuse(f"{path}.input_audio.data", "it must be base64")
    return MediaPart("audio", f"audio/{part.input_audio.format}", data[1:-1].replace(b"\\/", b"/"))


def _url(mapper: RequestMapper, raw: msgspec.Raw, path: str) -> bytes:
    text = text_of(raw)
    if not text:
        mapper.refuse(path, "it must be a string that is not empty")
    return text


def read_tools(mapper: RequestMapper, name: str = "tools") -> list[Tool]:
    """The functions that may be called."""
    raw = mapper.field(name)
    found: list[Tool] = []
    tools: list[ChatTool] = mapper.decoded(raw, name, decode_chat_tools) if raw is not None else []
    for at, tool in enumerate(tools):
        function = tool.function
        if tool.type != "function" or function is None:
            mapper.refuse(f"{name}[{at}].type", f"a tool of the type `{tool.type[:40]}` has no counterpart")
        parameters = b"" if function.parameters in NOTHING else bytes(function.parameters)
        found.append(Tool(function.name, text_of(function.description), parameters, function.strict))
    return found


def write_messages(mapper: RequestMapper, system: list[TextPart], turns: list[Turn]) -> list[dict[str, Any]]:
    """The messages of a chat."""
    messages: list[dict[str, Any]] = []
    if system:
        messages.append({"role": "system", "content": _text_content(system)})
    for turn in turns:
        if turn.role == "assistant":
            message = _write_said(mapper, turn.parts)
            if message is not None:
                messages.append(message)
        else:
            _write_user(mapper, messages, turn.parts)
    return messages


def _text_content(parts: list[TextPart]) -> Any:
    """One text as such, several as a list, which keeps their borders."""
    if len(parts) == 1:
        return msgspec.Raw(parts[0].text)
    return [{"type": "text", "text": msgspec.Raw(part.text)} for part in parts]


def _write_said(mapper: RequestMapper, parts: list[Any]) -> dict[str, Any] | None:
    texts: list[bytes] = []
    thoughts: list[bytes] = []
    calls: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, TextPart):
            if calls:
                mapper.lose("messages.content", "a text behind a call has no place of its own: it is moved before it")
            texts.append(part.text)
        elif isinstance(part, CallPart):
            function = {"name": short_name(part.name), "arguments": msgspec.Raw(json_string(part.arguments.decode()))}
            calls.append({"id": part.id, "type": "function", "function": function})
        elif isinstance(part, ThinkingPart):
            if part.text != b'""':
                thoughts.append(part.text)
        elif isinstance(part, MediaPart):
            mapper.refuse("messages", f"an {part.kind} in what the model has said has no counterpart")
    if not texts and not calls:
        return None
    message: dict[str, Any] = {"role": "assistant", "content": msgspec.Raw(joined(texts)) if texts else None}
    if thoughts and mapper.terms.reasoning:
        message["reasoning_content"] = msgspec.Raw(joined(thoughts))
    elif thoughts:
        mapper.drop("messages.thinking")
    if calls:
        message["tool_calls"] = calls
    return message


def _write_user(mapper: RequestMapper, messages: list[dict[str, Any]], parts: list[Any]) -> None:
    """Results first, each a message of its own, then what media they had, then what the user says."""
    content: list[dict[str, Any]] = []
    texts: list[TextPart] = []
    extra: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, ResultPart):
            messages.append(_write_result(part, extra))
            if part.is_error:
                mapper.lose("tool_result.is_error", "it is said in words")
        elif isinstance(part, TextPart):
            texts.append(part)
            content.append({"type": "text", "text": msgspec.Raw(part.text)})
        elif isinstance(part, MediaPart):
            content.append(_write_media(mapper, part))
    content = extra + content
    if len(content) == len(texts) and len(texts) == 1:
        messages.append({"role": "user", "content": msgspec.Raw(texts[0].text)})
    elif content:
        messages.append({"role": "user", "content": content})


def _write_result(result: ResultPart, extra: list[dict[str, Any]]) -> dict[str, Any]:
    """The message of a result. Its media, which it cannot have, go into the user's message behind all results."""
    texts: list[bytes] = [_ERROR] if result.is_error else []
    number = 0
    for part in result.parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        else:
            number += 1
            label = f"{part.kind} {number} of the result of {result.id}"
            texts.append(json_string(f"[{label} follows]"))
            extra.append({"type": "text", "text": f"[{label}]"})
            extra.append(_media_content(part))
    return {"role": "tool", "tool_call_id": result.id, "content": msgspec.Raw(joined(texts) if texts else b'""')}


def _write_media(mapper: RequestMapper, part: MediaPart) -> dict[str, Any]:
    if part.kind == "document" and part.url:
        mapper.refuse("messages", "a document by its URL has no counterpart, and is not fetched; send its data")
    return _media_content(part)


def _media_content(part: MediaPart) -> dict[str, Any]:
    if part.kind == "image":
        return {"type": "image_url", "image_url": {"url": msgspec.Raw(data_url(part))}}
    if part.kind == "audio":
        return {
            "type": "input_audio",
            "input_audio": {"data": part.data.decode(), "format": part.media_type.removeprefix("audio/")},
        }
    file = {"filename": msgspec.Raw(part.name or b'"document.pdf"'), "file_data": msgspec.Raw(data_url(part))}
    return {"type": "file", "file": file}


def write_tools(tools: list[Tool]) -> list[dict[str, Any]]:
    """The functions of a chat."""
    found: list[dict[str, Any]] = []
    for tool in tools:
        function: dict[str, Any] = {"name": short_name(tool.name)}
        if tool.description:
            function["description"] = msgspec.Raw(tool.description)
        if tool.parameters:
            function["parameters"] = msgspec.Raw(tool.parameters)
        if tool.strict is not None:
            function["strict"] = tool.strict
        found.append({"type": "function", "function": function})
    return found


def shortened_names(mapper: RequestMapper, tools: list[Tool]) -> dict[str, str]:
    """The client's own name of each tool whose name is shortened. Two that would be the same are refused."""
    found: dict[str, str] = {}
    names = {tool.name for tool in tools}
    for name in names:
        short = short_name(name)
        if short != name:
            if short in names or short in found:
                mapper.refuse("tools", f"`{name[:80]}` and another tool have the same name once shortened")
            found[short] = name
    return found


def short_name(name: str) -> str:
    """The name of a tool within the bound, the same for the same name."""
    if len(name) <= MAX_NAME:
        return name
    return f"{name[:55]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
