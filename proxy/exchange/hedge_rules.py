"""Which requests may be made twice at once: those that change nothing at a provider. Pure; it reads bodies alone."""

from typing import Final

import msgspec

from proxy.exchange.context import RequestContext
from proxy.exchange.schemas import Tool
from proxy.wire.schemas import DECODE_ERRORS

#: Endpoints whose requests may have a second attempt.
ENDPOINTS: Final = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/responses",
        "/v1beta/models/{model}:generateContent",
        "/v1beta/models/{model}:streamGenerateContent",
    }
)
#: Fields by which a provider runs tools itself, or keeps something, unless they have these values.
_HARMLESS: Final = (b"null", b"false", b"[]")
_ACTING: Final = (
    *(
        "background",
        "container",
        "context_management",
        "conversation",
        "enable_search",
        "mcp_servers",
        "plugins",
        "previous_response_id",
    ),
    *("search_parameters", "store", "web_search_options", "cachedContent", "cached_content"),
)
#: Types of tools that the client runs.
_CLIENT_TOOLS: Final = frozenset({"", "function", "custom"})
_GEMINI_CLIENT_TOOLS: Final = frozenset({"functionDeclarations", "function_declarations"})
_RESPONSES: Final = "/v1/responses"
_decode_tools: Final = msgspec.json.Decoder(list[Tool]).decode
_decode_gemini_tools: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


def may_repeat(context: RequestContext) -> bool:
    """Whether a second provider may work on the request too: no tool runs at a provider, and nothing stays there.

    What cannot be read is not repeated.
    """
    fields = context.body.fields
    for name in _ACTING:
        if name in fields and bytes(fields[name]) not in _HARMLESS:
            return False
    if context.endpoint == _RESPONSES:
        # It is stored unless it says otherwise, and a prompt of the provider's may have tools of the provider's.
        if bytes(fields.get("store", b"true")) != b"false":
            return False
        if "prompt" in fields and bytes(fields["prompt"]) not in _HARMLESS:
            return False
    tools = fields.get("tools")
    if tools is None:
        return True
    try:
        if context.dialect.name == "gemini":
            return all([_GEMINI_CLIENT_TOOLS.issuperset(one) for one in _decode_gemini_tools(tools)])  # noqa: C419 (compiled)
        return all([tool.type in _CLIENT_TOOLS for tool in _decode_tools(tools)])  # noqa: C419 (compiled)
    except DECODE_ERRORS:
        return False
