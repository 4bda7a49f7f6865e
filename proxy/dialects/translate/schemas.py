"""What translations read of requests and responses, as schemas for the decoder; texts stay the JSON that they came as.

Schemas stand apart from the code that uses them: that is compiled (setup.py), and classes of msgspec cannot be.
"""

from typing import Any, Final

import msgspec

from proxy.dialects.meters import EMPTY

# What a request says, in no dialect's words. A text is its JSON string, quotes and escapes included.


class TextPart(msgspec.Struct, gc=False):
    """A piece of text."""

    text: bytes
    #: The provider is asked to cache the prompt up to here.
    cached: bool = False


class MediaPart(msgspec.Struct, gc=False):
    """An image, a document or a sound: by its data in base64, or by its URL."""

    #: "image", "document", "audio" or "video".
    kind: str
    #: Such as "image/png"; empty where only the URL is known.
    media_type: str = ""
    #: The base64, without quotes; it has no escapes.
    data: bytes = b""
    #: A JSON string; empty where the data is there.
    url: bytes = b""
    #: The name of the file, a JSON string; empty for none.
    name: bytes = b""
    cached: bool = False


class CallPart(msgspec.Struct, gc=False):
    """The model's call of a tool."""

    id: str
    name: str
    #: A JSON object, as text.
    arguments: bytes
    #: What the provider wants back with it, unread; empty for nothing.
    signature: str = ""


class ResultPart(msgspec.Struct, gc=False):
    """What a call has given: texts and media."""

    id: str
    parts: list[TextPart | MediaPart]
    is_error: bool = False
    name: str = ""
    cached: bool = False


class ThinkingPart(msgspec.Struct, gc=False):
    """What the model has thought: its text, and what the provider wants back with it, unread."""

    text: bytes
    signature: str = ""
    #: In place of a text: encrypted thoughts.
    redacted: str = ""


Part = TextPart | MediaPart | CallPart | ResultPart | ThinkingPart


class Turn(msgspec.Struct, gc=False):
    """What one side has said."""

    #: "user" or "assistant".
    role: str
    parts: list[Any]


class Tool(msgspec.Struct, gc=False):
    """A function that the client runs for the model."""

    name: str
    #: A JSON string; empty for none.
    description: bytes = b""
    #: A JSON schema; empty for none.
    parameters: bytes = b""
    strict: bool | None = None
    cached: bool = False


# OpenAI's chat: requests.


class ChatFunction(msgspec.Struct, gc=False):
    name: str = ""
    arguments: msgspec.Raw = EMPTY
    description: msgspec.Raw = EMPTY
    parameters: msgspec.Raw = EMPTY
    strict: bool | None = None


class ChatCall(msgspec.Struct, gc=False):
    id: str = ""
    type: str = "function"
    function: ChatFunction | None = None


class ChatMessage(msgspec.Struct, gc=False):
    role: str = ""
    content: msgspec.Raw = EMPTY
    reasoning_content: msgspec.Raw = EMPTY
    thinking_blocks: msgspec.Raw = EMPTY
    refusal: msgspec.Raw = EMPTY
    tool_calls: list[ChatCall] | None = None
    tool_call_id: str = ""
    function_call: msgspec.Raw = EMPTY
    name: str | None = None


class ChatUrl(msgspec.Struct, gc=False):
    url: msgspec.Raw = EMPTY


class ChatFile(msgspec.Struct, gc=False):
    file_data: msgspec.Raw = EMPTY
    file_id: msgspec.Raw = EMPTY
    filename: msgspec.Raw = EMPTY


class ChatAudio(msgspec.Struct, gc=False):
    data: msgspec.Raw = EMPTY
    format: str = ""


class ChatPart(msgspec.Struct, gc=False):
    type: str = ""
    text: msgspec.Raw = EMPTY
    refusal: msgspec.Raw = EMPTY
    image_url: ChatUrl | None = None
    file: ChatFile | None = None
    input_audio: ChatAudio | None = None
    prompt_cache_breakpoint: msgspec.Raw = EMPTY


class ChatTool(msgspec.Struct, gc=False):
    type: str = ""
    function: ChatFunction | None = None


decode_chat_messages: Final = msgspec.json.Decoder(list[ChatMessage]).decode
decode_chat_parts: Final = msgspec.json.Decoder(list[ChatPart]).decode
decode_chat_tools: Final = msgspec.json.Decoder(list[ChatTool]).decode


# OpenAI's chat: responses.


class CallDelta(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: ChatFunction | None = None


class ChatDelta(msgspec.Struct, gc=False):
    content: msgspec.Raw = EMPTY
    reasoning_content: msgspec.Raw = EMPTY
    reasoning: msgspec.Raw = EMPTY
    reasoning_text: msgspec.Raw = EMPTY
    refusal: msgspec.Raw = EMPTY
    tool_calls: list[CallDelta] | None = None
    function_call: ChatFunction | None = None


class ChatDeltaChoice(msgspec.Struct, gc=False):
    index: int | None = 0
    delta: ChatDelta | None = None
    message: ChatDelta | None = None
    finish_reason: str | None = None


class ChatDeltaChunk(msgspec.Struct, gc=False):
    id: str | None = None
    choices: list[ChatDeltaChoice] | None = None


class ContentPiece(msgspec.Struct, gc=False):
    """A piece of a content that is a list: some servers send thoughts so."""

    type: str = ""
    text: msgspec.Raw = EMPTY
    thinking: msgspec.Raw = EMPTY


decode_chat_delta: Final = msgspec.json.Decoder(ChatDeltaChunk).decode
decode_content_pieces: Final = msgspec.json.Decoder(list[ContentPiece]).decode


# Anthropic's Messages: requests.


class MessageSource(msgspec.Struct, gc=False):
    type: str = ""
    media_type: str = ""
    data: msgspec.Raw = EMPTY
    url: msgspec.Raw = EMPTY
    content: msgspec.Raw = EMPTY


class MessageBlock(msgspec.Struct, gc=False):
    """One block of a message, a system prompt or a tool's result; and of a response."""

    type: str = ""
    text: msgspec.Raw = EMPTY
    id: str = ""
    name: str = ""
    input: msgspec.Raw = EMPTY
    tool_use_id: str = ""
    content: msgspec.Raw = EMPTY
    is_error: bool | None = None
    source: MessageSource | None = None
    title: msgspec.Raw = EMPTY
    thinking: msgspec.Raw = EMPTY
    signature: str | None = None
    data: str | None = None
    cache_control: msgspec.Raw = EMPTY


class Message(msgspec.Struct, gc=False):
    role: str = ""
    content: msgspec.Raw = EMPTY


class MessageTool(msgspec.Struct, gc=False):
    type: str | None = None
    name: str = ""
    description: msgspec.Raw = EMPTY
    input_schema: msgspec.Raw = EMPTY
    strict: bool | None = None
    cache_control: msgspec.Raw = EMPTY


decode_messages: Final = msgspec.json.Decoder(list[Message]).decode
decode_blocks: Final = msgspec.json.Decoder(list[MessageBlock]).decode
decode_message_tools: Final = msgspec.json.Decoder(list[MessageTool]).decode


# Anthropic's Messages: responses.


class BlockDelta(msgspec.Struct, gc=False):
    type: str = ""
    text: msgspec.Raw = EMPTY
    thinking: msgspec.Raw = EMPTY
    partial_json: msgspec.Raw = EMPTY
    signature: msgspec.Raw = EMPTY
    stop_reason: str | None = None


class MessageHead(msgspec.Struct, gc=False):
    id: str = ""


class MessageEvent(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    message: MessageHead | None = None
    content_block: MessageBlock | None = None
    delta: BlockDelta | None = None


class WholeMessage(msgspec.Struct, gc=False):
    id: str = ""
    content: list[MessageBlock] = []
    stop_reason: str | None = None


decode_message_event: Final = msgspec.json.Decoder(MessageEvent).decode
decode_whole_message: Final = msgspec.json.Decoder(WholeMessage).decode


# All.

decode_value: Final = msgspec.json.Decoder().decode
decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_string: Final = msgspec.json.Decoder(str).decode
encode: Final = msgspec.json.Encoder().encode
