"""Schemas of Anthropic's and Gemini's own formats.

Sources: https://docs.anthropic.com/en/api/messages and https://ai.google.dev/api/generate-content.
"""

from collections.abc import Mapping
from typing import Final

from proxy.pages.documentation.openapi.notation import (
    COUNT,
    FLAG,
    INTEGER,
    LABELS,
    NUMBER,
    OBJECT,
    TEXT,
    Schema,
    Shape,
    either,
    event,
    many,
    maybe,
    noted,
    ref,
    struct,
    within,
    words,
)


def schemas() -> dict[str, Schema]:
    """The schemas, by their names in the document."""
    counted: Mapping[str, Schema] = {
        "model": ref("Alias"),
        "messages": many(ref("AnthropicMessage"), 1),
        "system?": either(TEXT, many(ref("AnthropicBlock"))),
        "tools?": many(ref("AnthropicTool")),
        "tool_choice?": struct({"type": words("auto", "any", "tool", "none"), "name?": TEXT}),
    }
    contents: Mapping[str, Schema] = {
        "contents": many(ref("GeminiContent"), 1),
        "systemInstruction?": ref("GeminiContent"),
        "tools?": many(ref("GeminiTool")),
        "toolConfig?": OBJECT,
        "generationConfig?": ref("GenerationConfig"),
        "safetySettings?": many(OBJECT),
    }
    return {
        "AnthropicBlock": struct(
            {
                "type": noted(TEXT, "Such as text, image, tool_use or tool_result."),
                "text?": TEXT,
                "source?": OBJECT,
                "cache_control?": maybe(OBJECT),
            }
        ),
        "AnthropicMessage": struct(
            {"role": words("user", "assistant"), "content": either(TEXT, many(ref("AnthropicBlock"), 1))}
        ),
        "AnthropicTool": struct({"name": TEXT, "description?": TEXT, "input_schema": ref("JsonSchema"), "type?": TEXT}),
        "MessagesRequest": struct(
            {
                **counted,
                "max_tokens": within(INTEGER, 1),
                "stream?": noted(FLAG, "Whether the response is a stream of named events."),
                "stop_sequences?": many(TEXT, most=4),
                "temperature?": within(NUMBER, 0, 1),
                "top_p?": within(NUMBER, 0, 1),
                "top_k?": COUNT,
                "thinking?": OBJECT,
                "metadata?": struct({"user_id?": maybe(TEXT)}),
            }
        ),
        "Message": struct(
            {
                "id": TEXT,
                "type": words("message"),
                "role": words("assistant"),
                "model": ref("Alias"),
                "content": many(ref("AnthropicBlock")),
                "stop_reason": maybe(TEXT),
                "stop_sequence?": maybe(TEXT),
                "usage?": struct(
                    {
                        "input_tokens": COUNT,
                        "output_tokens": COUNT,
                        "cache_creation_input_tokens?": maybe(COUNT),
                        "cache_read_input_tokens?": maybe(COUNT),
                    }
                ),
            }
        ),
        "MessageEvent": struct(
            {
                "type": noted(TEXT, "The event's name once more, such as content_block_delta."),
                "index?": COUNT,
                "message?": OBJECT,
                "delta?": OBJECT,
                "usage?": OBJECT,
            }
        ),
        "SentMessageEvent": event("MessageEvent"),
        "CountMessageTokensRequest": struct(counted),
        "GeminiPart": struct(
            {
                "text?": TEXT,
                "inlineData?": struct({"mimeType": TEXT, "data": TEXT}),
                "functionCall?": struct({"name": TEXT, "args?": OBJECT}),
                "functionResponse?": struct({"name": TEXT, "response": OBJECT}),
            }
        ),
        "GeminiContent": struct({"parts": many(ref("GeminiPart"), 1), "role?": words("user", "model")}),
        "GeminiTool": struct(
            {
                "functionDeclarations?": many(
                    struct({"name": TEXT, "description?": TEXT, "parameters?": ref("JsonSchema")})
                )
            }
        ),
        "GenerationConfig": struct(
            {
                "maxOutputTokens?": within(INTEGER, 1),
                "stopSequences?": many(TEXT, most=4),
                "temperature?": within(NUMBER, 0, 2),
                "topP?": within(NUMBER, 0, 1),
                "topK?": COUNT,
                "responseMimeType?": words("text/plain", "application/json"),
                "responseSchema?": ref("JsonSchema"),
            }
        ),
        "GenerateRequest": struct(contents),
        "GenerateResponse": struct(
            {
                "candidates?": many(
                    struct(
                        {
                            "content?": struct({"parts?": many(ref("GeminiPart")), "role?": TEXT}),
                            "finishReason?": TEXT,
                            "index?": COUNT,
                        }
                    )
                ),
                "modelVersion?": ref("Alias"),
                "responseId?": TEXT,
                "usageMetadata?": struct(
                    {"promptTokenCount?": COUNT, "candidatesTokenCount?": COUNT, "totalTokenCount?": COUNT}
                ),
            }
        ),
        "SentGenerateResponse": event(
            "GenerateResponse", "GeminiError", about="Without alt=sse the same come as a JSON array that grows."
        ),
        "GenerateStream": many(ref("GenerateResponse")),
        "GeminiTokensRequest": struct({"contents": many(ref("GeminiContent"), 1), "generateContentRequest?": OBJECT}),
        "GeminiTokens": struct({"totalTokens": COUNT, "promptTokensDetails?": many(OBJECT)}),
        "EmbedRequest": struct({"content": ref("GeminiContent"), "outputDimensionality?": within(INTEGER, 1, 1536)}),
        "Embedding": struct({"embedding": struct({"values": many(NUMBER)}), "usageMetadata?": OBJECT}),
        "BatchEmbedRequest": struct({"requests": many(ref("EmbedRequest"), 1)}),
        "EmbeddingBatch": struct({"embeddings": many(struct({"values": many(NUMBER)})), "usageMetadata?": OBJECT}),
        "GeminiModel": struct(
            {
                "name": TEXT,
                "baseModelId?": TEXT,
                "version?": TEXT,
                "displayName?": TEXT,
                "supportedGenerationMethods?": many(TEXT),
            }
        ),
        "GeminiModelList": struct({"models": many(ref("GeminiModel")), "nextPageToken?": TEXT}),
        "AnthropicModel": struct(
            {
                "type": words("model"),
                "id": TEXT,
                "display_name": TEXT,
                "created_at": TEXT,
                "capability?": TEXT,
                "formats?": many(TEXT),
            }
        ),
        "AnthropicModelList": struct(
            {"data": many(ref("AnthropicModel")), "has_more": FLAG, "first_id": maybe(TEXT), "last_id": maybe(TEXT)}
        ),
        "AnthropicError": struct(
            {"type": words("error"), "error": struct({"type": TEXT, "message": TEXT}), "request_id?": maybe(TEXT)}
        ),
        "GeminiError": struct(
            {
                "error": struct(
                    {"code": INTEGER, "message": TEXT, "status?": TEXT, "details?": many(OBJECT), "metadata?": LABELS}
                )
            }
        ),
    }


_QUESTION: Final = "Say hello. demo:tokens=3"
_MESSAGES: Final = ({"role": "user", "content": _QUESTION},)
_ASKED: Final = ({"role": "user", "parts": ({"text": _QUESTION},)},)
_PART: Final = {"content": {"parts": ({"text": "billing retry policy"},)}, "outputDimensionality": 8}
_GEMINI: Final = "POST /v1beta/models/{model}"

SHAPES: Final[Mapping[str, Shape]] = {
    "POST /v1/messages": Shape(
        "createMessage",
        "MessagesRequest",
        "Message",
        {"messages": _MESSAGES, "max_tokens": 64},
        "SentMessageEvent",
    ),
    "POST /v1/messages/count_tokens": Shape(
        "countMessageTokens", "CountMessageTokensRequest", "TokenCount", {"messages": _MESSAGES}
    ),
    f"{_GEMINI}:generateContent": Shape("generateContent", "GenerateRequest", "GenerateResponse", {"contents": _ASKED}),
    f"{_GEMINI}:streamGenerateContent": Shape(
        "streamGenerateContent",
        "GenerateRequest",
        "GenerateStream",
        {"contents": _ASKED},
        "SentGenerateResponse",
    ),
    f"{_GEMINI}:countTokens": Shape("countGeminiTokens", "GeminiTokensRequest", "GeminiTokens", {"contents": _ASKED}),
    f"{_GEMINI}:embedContent": Shape("embedContent", "EmbedRequest", "Embedding", _PART),
    f"{_GEMINI}:batchEmbedContents": Shape(
        "batchEmbedContents", "BatchEmbedRequest", "EmbeddingBatch", {"requests": [_PART]}
    ),
}
