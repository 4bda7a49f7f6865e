"""What is read of Gemini's answers, as shapes for the decoder."""

from typing import Final

import msgspec

from proxy.dialects.meters import EMPTY, ChoiceIndex


class Candidate(msgspec.Struct, rename="camel", gc=False):
    index: ChoiceIndex = 0
    content: msgspec.Raw = EMPTY
    finish_reason: msgspec.Raw = EMPTY
    grounding_metadata: msgspec.Raw = EMPTY


class Grounding(msgspec.Struct, rename="camel", gc=False):
    web_search_queries: list[msgspec.Raw] | None = None


class Chunk(msgspec.Struct, rename="camel", gc=False):
    model_version: msgspec.Raw = EMPTY
    candidates: list[Candidate] | None = None
    prompt_feedback: msgspec.Raw = EMPTY
    usage_metadata: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY


decode_chunk: Final = msgspec.json.Decoder(Chunk).decode
decode_grounding: Final = msgspec.json.Decoder(Grounding | None).decode
decode_chunks: Final = msgspec.json.Decoder(list[Chunk]).decode
