"""What the gateway reads of each provider's responses, as schemas for the decoder; nothing else is looked at.

Schemas stand apart from the code that uses them: that is compiled (setup.py), and classes of msgspec cannot be.
"""

from typing import Final

import msgspec

from proxy.dialects.meters import EMPTY, ChoiceIndex

# OpenAI: chat and text completions.


class ChatText(msgspec.Struct, gc=False):
    """The text of a delta or of a message, under all the names it has."""

    content: msgspec.Raw = EMPTY
    reasoning_content: msgspec.Raw = EMPTY
    reasoning: msgspec.Raw = EMPTY
    refusal: msgspec.Raw = EMPTY
    tool_calls: msgspec.Raw = EMPTY
    function_call: msgspec.Raw = EMPTY


class ChatChoice(msgspec.Struct, gc=False):
    index: ChoiceIndex = 0
    delta: ChatText | None = None
    message: ChatText | None = None
    text: msgspec.Raw = EMPTY
    finish_reason: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY


class GroqExtension(msgspec.Struct, gc=False):
    usage: msgspec.Raw = EMPTY


class ChatChunk(msgspec.Struct, gc=False):
    """A chunk of a stream or a whole response: only what the gateway reads."""

    model: msgspec.Raw = EMPTY
    choices: list[ChatChoice] | None = None
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY
    x_groq: GroqExtension | None = None
    moderation: msgspec.Raw = EMPTY
    prompt_filter_results: msgspec.Raw = EMPTY
    service_tier: msgspec.Raw = EMPTY
    #: The content of a response of the Responses API, and the usage of Cohere's rerank.
    output: msgspec.Raw = EMPTY
    meta: msgspec.Raw = EMPTY


class OutputItem(msgspec.Struct, gc=False):
    type: str = ""


decode_chat_chunk: Final = msgspec.json.Decoder(ChatChunk).decode
decode_output: Final = msgspec.json.Decoder(list[OutputItem]).decode


# OpenAI: the Responses API, audio and images.


class ResponsesObject(msgspec.Struct, gc=False):
    model: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY
    service_tier: msgspec.Raw = EMPTY
    output: msgspec.Raw = EMPTY


class ResponsesEvent(msgspec.Struct, gc=False):
    type: str = ""
    response: ResponsesObject | None = None
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY
    delta: msgspec.Raw = EMPTY


class MediaEvent(msgspec.Struct, gc=False):
    type: str = ""
    model: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY
    delta: msgspec.Raw = EMPTY


class MediaResponse(msgspec.Struct, gc=False):
    """A whole response of audio, images or transcripts: only what the gateway reads."""

    model: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY
    duration: msgspec.Raw = EMPTY
    data: msgspec.Raw = EMPTY


decode_responses_event: Final = msgspec.json.Decoder(ResponsesEvent).decode
decode_media_event: Final = msgspec.json.Decoder(MediaEvent).decode
decode_media: Final = msgspec.json.Decoder(MediaResponse).decode
decode_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_number: Final = msgspec.json.Decoder(float).decode


# Anthropic: Messages.


class MessagesDelta(msgspec.Struct, gc=False):
    text: msgspec.Raw = EMPTY
    thinking: msgspec.Raw = EMPTY
    partial_json: msgspec.Raw = EMPTY
    stop_reason: msgspec.Raw = EMPTY


class StartedMessage(msgspec.Struct, gc=False):
    model: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY


class MessagesEvent(msgspec.Struct, gc=False):
    type: str = ""
    message: StartedMessage | None = None
    delta: MessagesDelta | None = None
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY


class MessagesResponse(msgspec.Struct, gc=False):
    type: str = ""
    model: msgspec.Raw = EMPTY
    content: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY
    input_tokens: msgspec.Raw = EMPTY


decode_messages_event: Final = msgspec.json.Decoder(MessagesEvent).decode
decode_messages_response: Final = msgspec.json.Decoder(MessagesResponse).decode


# Gemini: generateContent.


class Candidate(msgspec.Struct, rename="camel", gc=False):
    index: ChoiceIndex = 0
    content: msgspec.Raw = EMPTY
    finish_reason: msgspec.Raw = EMPTY
    grounding_metadata: msgspec.Raw = EMPTY


class Grounding(msgspec.Struct, rename="camel", gc=False):
    web_search_queries: list[msgspec.Raw] | None = None


class GenerateChunk(msgspec.Struct, rename="camel", gc=False):
    model_version: msgspec.Raw = EMPTY
    candidates: list[Candidate] | None = None
    prompt_feedback: msgspec.Raw = EMPTY
    usage_metadata: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY


decode_generate_chunk: Final = msgspec.json.Decoder(GenerateChunk).decode
decode_grounding: Final = msgspec.json.Decoder(Grounding | None).decode
decode_generate_chunks: Final = msgspec.json.Decoder(list[GenerateChunk]).decode
