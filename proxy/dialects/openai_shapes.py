"""What is read of OpenAI's chat answers, as shapes for the decoder: nothing else of an answer is looked at.

Shapes stand apart from the code that uses them: that is compiled (setup.py), and classes of msgspec cannot be.
"""

from typing import Final

import msgspec

from proxy.dialects.meters import EMPTY, ChoiceIndex


class Text(msgspec.Struct, gc=False):
    """The text of a delta or of a message, under all the names it has."""

    content: msgspec.Raw = EMPTY
    reasoning_content: msgspec.Raw = EMPTY
    reasoning: msgspec.Raw = EMPTY
    refusal: msgspec.Raw = EMPTY
    tool_calls: msgspec.Raw = EMPTY
    function_call: msgspec.Raw = EMPTY


class Choice(msgspec.Struct, gc=False):
    index: ChoiceIndex = 0
    delta: Text | None = None
    message: Text | None = None
    text: msgspec.Raw = EMPTY
    finish_reason: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY


class Groq(msgspec.Struct, gc=False):
    usage: msgspec.Raw = EMPTY


class Chunk(msgspec.Struct, gc=False):
    """A chunk of a stream or a whole answer: only what the gateway reads."""

    model: msgspec.Raw = EMPTY
    choices: list[Choice] | None = None
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY
    x_groq: Groq | None = None
    moderation: msgspec.Raw = EMPTY
    prompt_filter_results: msgspec.Raw = EMPTY
    service_tier: msgspec.Raw = EMPTY
    #: What the Responses API answers, and what Cohere's rerank says of its bill.
    output: msgspec.Raw = EMPTY
    meta: msgspec.Raw = EMPTY


class OutputItem(msgspec.Struct, gc=False):
    type: str = ""


decode_chunk: Final = msgspec.json.Decoder(Chunk).decode
decode_output: Final = msgspec.json.Decoder(list[OutputItem]).decode
