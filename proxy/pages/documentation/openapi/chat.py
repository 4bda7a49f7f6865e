"""Schemas of OpenAI's text formats: chat, completions, embeddings and what reads texts.

Sources: https://platform.openai.com/docs/api-reference, for rerank, search and OCR those of the providers that have it.
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
    SECONDS,
    TEXT,
    VALUE,
    Schema,
    Shape,
    either,
    event,
    many,
    maybe,
    noted,
    ref,
    sized,
    struct,
    within,
    words,
)

_QUESTION: Final = "Say hello. demo:tokens=3"
_MESSAGES: Final = ({"role": "user", "content": _QUESTION},)


def schemas() -> dict[str, Schema]:
    """The schemas, by their names in the document."""
    model = ref("Alias")
    positive = within(INTEGER, 1)
    stop = maybe(either(TEXT, many(TEXT, most=4)))
    # What all requests that write text take.
    sampling: Mapping[str, Schema] = {
        "stream?": noted(maybe(FLAG), "Whether the response is a stream of events."),
        "max_tokens?": maybe(positive),
        "temperature?": maybe(within(NUMBER, 0, 2)),
        "top_p?": maybe(within(NUMBER, 0, 1)),
        "n?": maybe(within(INTEGER, 1, 4)),
        "stop?": stop,
        "seed?": maybe(INTEGER),
        "presence_penalty?": maybe(within(NUMBER, -2, 2)),
        "frequency_penalty?": maybe(within(NUMBER, -2, 2)),
        "user?": TEXT,
    }
    return {
        "ImageAddress": struct(
            {"url": noted(TEXT, "An address, or a data: URL with the image in it."), "detail?": TEXT}
        ),
        "ContentPart": struct(
            {
                "type": noted(TEXT, "Such as text, image_url, input_audio or file."),
                "text?": TEXT,
                "image_url?": ref("ImageAddress"),
            },
            "A part of a message: a text, an image, a recording or a file.",
        ),
        "ToolCall": struct(
            {
                "id": TEXT,
                "type": TEXT,
                "function?": struct({"name": TEXT, "arguments": noted(TEXT, "JSON.")}),
                "index?": COUNT,
            }
        ),
        "ChatMessage": struct(
            {
                "role": words("system", "developer", "user", "assistant", "tool", "function"),
                "content?": maybe(either(TEXT, many(ref("ContentPart"), 1))),
                "name?": TEXT,
                "tool_calls?": many(ref("ToolCall")),
                "tool_call_id?": TEXT,
            }
        ),
        "JsonSchema": struct(
            {"type?": TEXT, "properties?": OBJECT, "required?": many(TEXT), "description?": TEXT}, "A JSON Schema."
        ),
        "Function": struct(
            {"name": sized(1, 64), "description?": TEXT, "parameters?": ref("JsonSchema"), "strict?": FLAG}
        ),
        "ChatTool": struct({"type": words("function"), "function": ref("Function")}),
        "ResponseFormat": struct(
            {
                "type": words("text", "json_object", "json_schema"),
                "json_schema?": struct({"name": TEXT, "schema?": ref("JsonSchema"), "strict?": maybe(FLAG)}),
            }
        ),
        "StreamOptions": struct({"include_usage?": FLAG}, "Allowed with stream: true alone."),
        "ChatRequest": struct(
            {
                "model": model,
                "messages": many(ref("ChatMessage"), 1),
                **sampling,
                "max_completion_tokens?": maybe(positive),
                "stream_options?": maybe(ref("StreamOptions")),
                "tools?": many(ref("ChatTool")),
                "tool_choice?": either(words("none", "auto", "required"), OBJECT),
                "parallel_tool_calls?": FLAG,
                "response_format?": ref("ResponseFormat"),
                "reasoning_effort?": maybe(TEXT),
                "logprobs?": maybe(FLAG),
                "top_logprobs?": maybe(within(INTEGER, 0, 20)),
                "metadata?": maybe(LABELS),
                "service_tier?": maybe(TEXT),
            },
            "A conversation. Further fields are forwarded as they are.",
        ),
        "Usage": struct(
            {
                "prompt_tokens": COUNT,
                "completion_tokens?": COUNT,
                "total_tokens": COUNT,
                "prompt_tokens_details?": maybe(OBJECT),
                "completion_tokens_details?": maybe(OBJECT),
            }
        ),
        "ResponseMessage": struct(
            {
                "role": TEXT,
                "content?": maybe(either(TEXT, many(OBJECT))),
                "refusal?": maybe(TEXT),
                "tool_calls?": maybe(many(ref("ToolCall"))),
            }
        ),
        "ChatCompletion": struct(
            {
                "id": TEXT,
                "object": TEXT,
                "created": SECONDS,
                "model": model,
                "choices": many(
                    struct(
                        {
                            "index": COUNT,
                            "message": ref("ResponseMessage"),
                            "finish_reason?": maybe(TEXT),
                            "logprobs?": maybe(OBJECT),
                        }
                    )
                ),
                "usage?": maybe(ref("Usage")),
                "service_tier?": maybe(TEXT),
                "system_fingerprint?": maybe(TEXT),
            }
        ),
        "ChatCompletionChunk": struct(
            {
                "id": TEXT,
                "object": TEXT,
                "created": SECONDS,
                "model": model,
                "choices": many(
                    struct(
                        {
                            "index": COUNT,
                            "delta": struct({"role?": TEXT, "content?": maybe(TEXT), "tool_calls?": many(OBJECT)}),
                            "finish_reason?": maybe(TEXT),
                        }
                    )
                ),
                "usage?": maybe(ref("Usage")),
            }
        ),
        "SentChatChunk": event("ChatCompletionChunk", "Error", end="[DONE]"),
        "SentCompletion": event("Completion", "Error", end="[DONE]"),
        "CompletionRequest": struct(
            {
                "model": model,
                "prompt": either(TEXT, many(TEXT, 1, 20)),
                **sampling,
                "stream_options?": maybe(ref("StreamOptions")),
                "echo?": maybe(FLAG),
                "suffix?": maybe(TEXT),
            }
        ),
        "Completion": struct(
            {
                "id": TEXT,
                "object": TEXT,
                "created": SECONDS,
                "model": model,
                "choices": many(struct({"text": TEXT, "index": COUNT, "finish_reason?": maybe(TEXT)})),
                "usage?": maybe(ref("Usage")),
            },
            "A text that was continued; the data of the events of a stream has the same shape.",
        ),
        "EmbeddingRequest": struct(
            {
                "model": model,
                "input": either(
                    sized(), many(sized(), 1, 2048), many(COUNT, 1, 2048), many(many(COUNT, 1, 2048), 1, 2048)
                ),
                "encoding_format?": words("float", "base64"),
                "dimensions?": within(INTEGER, 1, 1536),
                "user?": TEXT,
            }
        ),
        "Embeddings": struct(
            {
                "object": TEXT,
                "data": many(struct({"object": TEXT, "index": COUNT, "embedding": either(many(NUMBER), TEXT)})),
                "model": model,
                "usage?": ref("Usage"),
            }
        ),
        "ModerationRequest": struct(
            {
                "model": model,
                "input": either(TEXT, many(TEXT, 1), many(ref("ContentPart"), 1)),
            }
        ),
        "Moderation": struct(
            {
                "id": TEXT,
                "model": model,
                "results": many(
                    struct(
                        {
                            "flagged": FLAG,
                            "categories": {"type": "object", "additionalProperties": FLAG},
                            "category_scores": {"type": "object", "additionalProperties": NUMBER},
                        }
                    )
                ),
            }
        ),
        "RerankRequest": struct(
            {
                "model": model,
                "query": TEXT,
                "documents": many(either(TEXT, struct({"text": TEXT})), 1, 1000),
                "top_n?": within(INTEGER, 1),
                "return_documents?": FLAG,
            }
        ),
        "Rerank": struct(
            {
                "results": many(struct({"index": COUNT, "relevance_score": NUMBER, "document?": OBJECT})),
                "id?": TEXT,
                "model?": model,
                "meta?": OBJECT,
                "usage?": OBJECT,
            }
        ),
        "SearchRequest": struct(
            {"model": model, "query": either(TEXT, many(TEXT, 1)), "max_results?": within(INTEGER, 1, 20)}
        ),
        "SearchResults": struct(
            {
                "results": many(struct({"title": TEXT, "url": TEXT, "snippet?": TEXT})),
                "id?": TEXT,
                "object?": TEXT,
                "model?": model,
            }
        ),
        "OcrRequest": struct(
            {
                "model": model,
                "document": struct(
                    {
                        "type": words("document_url", "image_url"),
                        "document_url?": TEXT,
                        "image_url?": either(TEXT, ref("ImageAddress")),
                        "document_name?": TEXT,
                    }
                ),
                "pages?": many(COUNT),
            }
        ),
        "OcrPages": struct(
            {
                "pages": many(struct({"index": COUNT, "markdown": TEXT})),
                "model": model,
                "usage_info?": OBJECT,
            }
        ),
        "CountTokensRequest": struct(
            {"model": model, "messages": many(ref("ChatMessage"), 1), "tools?": many(OBJECT), "system?": VALUE}
        ),
        "TokenCount": struct({"input_tokens": COUNT}),
    }


SHAPES: Final[Mapping[str, Shape]] = {
    "POST /v1/chat/completions": Shape(
        "createChatCompletion",
        "ChatRequest",
        "ChatCompletion",
        {"messages": _MESSAGES},
        "SentChatChunk",
    ),
    "POST /v1/completions": Shape(
        "createCompletion",
        "CompletionRequest",
        "Completion",
        {"prompt": _QUESTION},
        "SentCompletion",
    ),
    "POST /v1/embeddings": Shape(
        "createEmbedding", "EmbeddingRequest", "Embeddings", {"input": ["billing retry policy"], "dimensions": 8}
    ),
    "POST /v1/moderations": Shape("createModeration", "ModerationRequest", "Moderation", {"input": "A kind word."}),
    "POST /v1/rerank": Shape(
        "rerank",
        "RerankRequest",
        "Rerank",
        {"query": "How are retries billed?", "documents": ["Retries are billed once.", "The sea is blue."]},
    ),
    "POST /v1/search": Shape("search", "SearchRequest", "SearchResults", {"query": "model gateways"}),
    "POST /v1/ocr": Shape(
        "ocr",
        "OcrRequest",
        "OcrPages",
        {"document": {"type": "document_url", "document_url": "https://example.com/invoice.pdf"}},
    ),
    "POST /v1/count_tokens": Shape("countTokens", "CountTokensRequest", "TokenCount", {"messages": _MESSAGES}),
}
