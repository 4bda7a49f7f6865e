"""What is known of a request's body and of an answer's usage, as values; and how usage is spelled, for the decoder.

Values stand apart from the code that uses them: that is compiled (setup.py), and classes of msgspec cannot be.
"""

from typing import Final

import msgspec

#: Beyond this a count is no count; it also keeps every sum inside SQLite's integers.
LARGEST: Final = 2**48


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


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts, and what is billed by other units."""

    #: All input tokens, those read from or written to a cache included.
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    #: All output tokens, reasoning included where the provider counts it so.
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_milliseconds: int = 0
    images: int = 0


class InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    created_cache_tokens: int | None = None
    cache_creation_tokens: int | None = None


class OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None
    thinking_tokens: int | None = None


class PlainUsage(msgspec.Struct, gc=False):
    """OpenAI's own spelling for chat, which nearly every answer has; any key that changes its meaning is named here."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    input_tokens_details: msgspec.UnsetType | object = msgspec.UNSET
    input_token_details: msgspec.UnsetType | object = msgspec.UNSET
    output_tokens_details: msgspec.UnsetType | object = msgspec.UNSET
    output_token_details: msgspec.UnsetType | object = msgspec.UNSET
    cached_tokens: msgspec.UnsetType | object = msgspec.UNSET
    prompt_cache_hit_tokens: msgspec.UnsetType | object = msgspec.UNSET
    reasoning_tokens: msgspec.UnsetType | object = msgspec.UNSET
    cache_read_input_tokens: msgspec.UnsetType | object = msgspec.UNSET
    cache_creation_input_tokens: msgspec.UnsetType | object = msgspec.UNSET
    prompt_audio_seconds: msgspec.UnsetType | object = msgspec.UNSET
    seconds: msgspec.UnsetType | object = msgspec.UNSET


decode_plain: Final = msgspec.json.Decoder(PlainUsage).decode
