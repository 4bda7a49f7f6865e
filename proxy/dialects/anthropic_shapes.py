"""What is read of Anthropic's answers, as shapes for the decoder."""

from typing import Final

import msgspec

from proxy.dialects.meters import EMPTY


class Delta(msgspec.Struct, gc=False):
    text: msgspec.Raw = EMPTY
    thinking: msgspec.Raw = EMPTY
    partial_json: msgspec.Raw = EMPTY
    stop_reason: msgspec.Raw = EMPTY


class Message(msgspec.Struct, gc=False):
    model: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY


class Event(msgspec.Struct, gc=False):
    type: str = ""
    message: Message | None = None
    delta: Delta | None = None
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY


class Answer(msgspec.Struct, gc=False):
    type: str = ""
    model: msgspec.Raw = EMPTY
    content: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY
    input_tokens: msgspec.Raw = EMPTY


decode_event: Final = msgspec.json.Decoder(Event).decode
decode_answer: Final = msgspec.json.Decoder(Answer).decode
