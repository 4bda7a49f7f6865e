"""What is known of a request's body and of a response's usage, as values; and how usage is spelled, for the decoder.

Values stand apart from the code that uses them: that is compiled (setup.py), and classes of msgspec cannot be.
"""

from typing import Final

import msgspec

#: What a decoder raises for bytes that it cannot take: not JSON of its type, not UTF-8, or nested too deep.
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: A count beyond this is no count, wherever it is read or kept; it also keeps every sum inside SQLite's integers.
MAX_COUNT: Final = 10**12
#: A bill beyond this, a million dollars, is cut to it.
MAX_NANO_DOLLARS: Final = 10**15


class Body(msgspec.Struct, frozen=True, gc=False):
    """A request body that has been looked at."""

    fields: dict[str, msgspec.Raw]
    #: The value of `model`.
    model: str
    #: The value of `stream`.
    stream: bool
    #: The client itself asked for the usage of its stream.
    wants_usage: bool
    #: The model stands in the body, and not in the path.
    holds_model: bool = True
    #: All of it, as it came; the fields are parts of the same memory.
    data: bytes = b""

    def __repr__(self) -> str:
        """Show nothing that the client wrote but the model: a repr ends in logs and tracebacks."""
        return f"Body(model={self.model!r}, stream={self.stream}, {len(self.data)} bytes)"


class Parts(msgspec.Struct, frozen=True, gc=False):
    """What some providers bill apart from the plain tokens. Tokens here are counted among the plain ones too."""

    cache_write_1h_tokens: int = 0
    #: Those that were not read from a cache.
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    #: Those that were not read from a cache.
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    #: Searches that the provider made for the response.
    searches: int = 0
    #: Calls of the provider's other tools.
    tool_calls: int = 0
    #: Tokens of another model that advised: counted nowhere else.
    advisor_input_tokens: int = 0
    advisor_output_tokens: int = 0
    #: Empty for the standard one.
    service_tier: str = ""
    #: What the provider says that it charges, in nano-dollars.
    provider_cost: int | None = None


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts, and what is billed by other units."""

    #: All input tokens, those read from or written to a cache included.
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    #: All output tokens, reasoning included.
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_milliseconds: int = 0
    images: int = 0
    #: Whether the response said how many these are, or they are the least that it can have been.
    input_known: bool = True
    output_known: bool = True
    #: None for nearly all responses.
    parts: Parts | None = None


class InputDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    created_cache_tokens: int | None = None
    cache_creation_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    text_tokens: object = None
    multimodal_tokens: object = None


class OutputDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    reasoning_tokens: int | None = None
    thinking_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    text_tokens: object = None
    accepted_prediction_tokens: object = None
    rejected_prediction_tokens: object = None


class PlainUsage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """OpenAI's own spelling for chat, which nearly every response has. An object with any other key is read with more
    care, so that no key can change what a count means unnoticed."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    # These say nothing about the counts.
    queue_time: object = None
    prompt_time: object = None
    completion_time: object = None
    total_time: object = None
    latency_checkpoint: object = None
    prompt_cache_miss_tokens: object = None


decode_plain: Final = msgspec.json.Decoder(PlainUsage).decode
