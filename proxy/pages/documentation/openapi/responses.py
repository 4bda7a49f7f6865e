"""Schemas of OpenAI's Responses API, its stored responses and conversations.

Source: https://platform.openai.com/docs/api-reference/responses.
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
    input = either(TEXT, many(ref("ResponseItem"), 1))
    return {
        "ResponseItem": struct(
            {
                "type?": noted(TEXT, "Such as message, function_call or function_call_output."),
                "role?": TEXT,
                "content?": either(TEXT, many(struct({"type": TEXT, "text?": TEXT, "image_url?": maybe(TEXT)}))),
                "id?": TEXT,
                "status?": maybe(TEXT),
            },
            "A message, a call of a function, its output, or another item.",
        ),
        "ResponseTool": struct(
            {"type": TEXT, "name?": TEXT, "description?": maybe(TEXT), "parameters?": maybe(ref("JsonSchema"))}
        ),
        "ResponsesRequest": struct(
            {
                "model": ref("Alias"),
                "input": input,
                "instructions?": maybe(TEXT),
                "stream?": noted(maybe(FLAG), "Whether the response is a stream of typed events."),
                "max_output_tokens?": maybe(within(INTEGER, 1)),
                "temperature?": maybe(within(NUMBER, 0, 2)),
                "top_p?": maybe(within(NUMBER, 0, 1)),
                "tools?": many(ref("ResponseTool")),
                "tool_choice?": either(words("none", "auto", "required"), struct({"type": TEXT, "name?": TEXT})),
                "text?": struct({"format?": struct({"type": TEXT, "name?": TEXT, "schema?": ref("JsonSchema")})}),
                "reasoning?": maybe(struct({"effort?": maybe(TEXT), "summary?": maybe(TEXT)})),
                "store?": noted(maybe(FLAG), "false keeps nothing; then there is no id to ask for later."),
                "background?": maybe(FLAG),
                "previous_response_id?": noted(maybe(TEXT), "One that the same key made."),
                "conversation?": noted(maybe(either(TEXT, struct({"id": TEXT}))), "One that the same key made."),
                "metadata?": maybe(LABELS),
            }
        ),
        "Response": struct(
            {
                "id": TEXT,
                "object": TEXT,
                "created_at": NUMBER,
                "status?": TEXT,
                "model": TEXT,
                "output": many(ref("ResponseItem")),
                "usage?": maybe(ref("ResponseUsage")),
                "error?": maybe(OBJECT),
                "incomplete_details?": maybe(OBJECT),
                "instructions?": maybe(either(TEXT, many(OBJECT))),
                "metadata?": maybe(LABELS),
                "previous_response_id?": maybe(TEXT),
            }
        ),
        "ResponseUsage": struct(
            {
                "input_tokens": COUNT,
                "output_tokens": COUNT,
                "total_tokens": COUNT,
                "input_tokens_details?": OBJECT,
                "output_tokens_details?": OBJECT,
            }
        ),
        "ResponseEvent": struct(
            {"type": noted(TEXT, "Such as response.output_text.delta."), "sequence_number?": COUNT, "delta?": TEXT},
            "The data of an event.",
        ),
        "SentResponseEvent": event("ResponseEvent", "Error"),
        "ResponseTokens": struct({"object": TEXT, "input_tokens": COUNT}),
        "CompactedResponse": struct(
            {
                "id": TEXT,
                "object": TEXT,
                "created_at": NUMBER,
                "output": many(ref("ResponseItem")),
                "usage?": maybe(ref("ResponseUsage")),
            }
        ),
        "ConversationRequest": struct(
            {"items?": maybe(many(ref("ResponseItem"), most=20)), "metadata?": maybe(LABELS)}
        ),
        "ConversationUpdate": struct({"metadata": LABELS}),
        "Conversation": struct({"id": TEXT, "object": TEXT, "created_at?": SECONDS, "metadata?": maybe(LABELS)}),
        "ItemsRequest": struct({"items": many(ref("ResponseItem"), 1, 20)}),
        "ItemList": struct(
            {
                "object": TEXT,
                "data": many(ref("ResponseItem")),
                "first_id?": maybe(TEXT),
                "last_id?": maybe(TEXT),
                "has_more?": FLAG,
            }
        ),
    }


_MESSAGE: Final = {"type": "message", "role": "user", "content": "Say hello. demo:tokens=3"}

SHAPES: Final[Mapping[str, Shape]] = {
    "POST /v1/responses": Shape(
        "createResponse", "ResponsesRequest", "Response", {"input": "Say hello. demo:tokens=3"}, "SentResponseEvent"
    ),
    "POST /v1/responses/input_tokens": Shape(
        "countResponseTokens", "ResponsesRequest", "ResponseTokens", {"input": "Say hello."}
    ),
    "POST /v1/responses/compact": Shape(
        "compactResponse", "ResponsesRequest", "CompactedResponse", {"input": [_MESSAGE]}
    ),
    "GET /v1/responses/{response_id}": Shape("getResponse", "", "Response", event="SentResponseEvent"),
    "DELETE /v1/responses/{response_id}": Shape("deleteResponse", "", "Deleted"),
    "POST /v1/responses/{response_id}/cancel": Shape("cancelResponse", "", "Response"),
    "GET /v1/responses/{response_id}/input_items": Shape("listInputItems", "", "ItemList"),
    "POST /v1/conversations": Shape(
        "createConversation", "ConversationRequest", "Conversation", {"metadata": {"topic": "demo"}}
    ),
    "GET /v1/conversations/{conversation_id}": Shape("getConversation", "", "Conversation"),
    "POST /v1/conversations/{conversation_id}": Shape(
        "updateConversation", "ConversationUpdate", "Conversation", {"metadata": {"topic": "demo"}}
    ),
    "DELETE /v1/conversations/{conversation_id}": Shape("deleteConversation", "", "Deleted"),
    "GET /v1/conversations/{conversation_id}/items": Shape("listConversationItems", "", "ItemList"),
    "POST /v1/conversations/{conversation_id}/items": Shape(
        "createConversationItems", "ItemsRequest", "ItemList", {"items": [_MESSAGE]}
    ),
    "GET /v1/conversations/{conversation_id}/items/{item_id}": Shape("getConversationItem", "", "ResponseItem"),
    "DELETE /v1/conversations/{conversation_id}/items/{item_id}": Shape("deleteConversationItem", "", "Conversation"),
}
