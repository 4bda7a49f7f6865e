"""The errors of the gateway's own that clients of the API meet, as the page of errors lists them. A test compares them
with docs/errors.md, which is compared with the code.
"""

from typing import Final, NamedTuple


class ErrorCode(NamedTuple):
    """One code, of one type."""

    code: str
    type: str
    #: The statuses that it has, as a text.
    status: str
    #: What it means, and what to do.
    help: str


_CLIENT: Final = "invalid_request_error"
_BUSY: Final = "service_unavailable_error"
_PROVIDER: Final = "provider_error"
ERROR_CODES: Final = (
    ErrorCode(
        "invalid_request",
        _CLIENT,
        "400, 408, 414, 417, 431, 501",
        "The request cannot be read or served as it is, and the message says why. Change it.",
    ),
    ErrorCode(
        "invalid_type", _CLIENT, "400", "A field has a value of another type than it must have; `param` names it."
    ),
    ErrorCode(
        "unsupported_content_type",
        _CLIENT,
        "400",
        "The body is of another kind than the endpoint takes: JSON for most, a form for audio files.",
    ),
    ErrorCode(
        "unsupported_content_encoding",
        _CLIENT,
        "415",
        "The body is compressed in a way that is not taken. Send it as it is.",
    ),
    ErrorCode(
        "ambiguous_field",
        _CLIENT,
        "400",
        "A field's name is nearly that of a guarded one. Write it in exactly the letters that the message has.",
    ),
    ErrorCode(
        "request_too_large",
        _CLIENT,
        "413",
        "The body or the audio file is larger than it may be. Send less, or split it.",
    ),
    ErrorCode("ambiguous_api_key", _CLIENT, "400", "The request has two different keys. Send one."),
    ErrorCode(
        "invalid_api_key",
        _CLIENT,
        "401",
        "There is no key, or one that is unknown, expired or revoked. Send `Authorization: Bearer` and a valid key.",
    ),
    ErrorCode(
        "model_not_found",
        _CLIENT,
        "404, 400",
        "There is no such alias, or the key has no right to it. `GET /v1/models` lists those that it may use.",
    ),
    ErrorCode(
        "model_not_supported",
        _CLIENT,
        "400",
        "The alias cannot be used with this endpoint. The message names one that fits.",
    ),
    ErrorCode(
        "not_translatable",
        _CLIENT,
        "400",
        "A field of the request cannot be said in the format of the alias's provider. `param` names it: leave it out.",
    ),
    ErrorCode(
        "model_not_priced",
        _CLIENT,
        "400",
        "The alias has no price, and a budget applies to it. Have the operator set one.",
    ),
    ErrorCode("mismatched_model", _CLIENT, "400", "The lines of a batch name different models. Make a batch for each."),
    ErrorCode(
        "objects_apart",
        _CLIENT,
        "400",
        "The objects that the request names are at different places. Create them with the same alias.",
    ),
    ErrorCode("not_found", _CLIENT, "404", "The key has no object with this id."),
    ErrorCode(
        "unknown_url",
        _CLIENT,
        "404",
        "There is no such endpoint; mostly the base URL is wrong. The message names a near one.",
    ),
    ErrorCode(
        "method_not_allowed", _CLIENT, "405", "The endpoint takes another method, which the header `allow` names."
    ),
    ErrorCode("session_id_too_long", _CLIENT, "400", "The session's id passes 255 characters."),
    ErrorCode("header_too_long", _CLIENT, "400", "A request header is longer than it may be; the message names it."),
    ErrorCode(
        "rate_limit_exceeded",
        "requests",
        "429",
        "A limit of requests is reached. Wait for `retry-after` seconds, and try again.",
    ),
    ErrorCode(
        "rate_limit_exceeded",
        "budget_exceeded",
        "429",
        "A budget has not enough left. Wait until it resets, or send a smaller `max_tokens`.",
    ),
    ErrorCode(
        "forbidden",
        "guardrail_triggered",
        "403",
        "A guardrail refuses the request, or ended its response. Change what is asked.",
    ),
    ErrorCode("server_is_overloaded", _BUSY, "503", "No new work is taken for now. Try again with backoff."),
    ErrorCode(
        "store_unavailable",
        _BUSY,
        "503",
        "The gateway cannot store what requests cost, so it takes none. Try again later.",
    ),
    ErrorCode("gateway_shutdown", _BUSY, "503", "The gateway restarts. Try again."),
    ErrorCode(
        "list_too_long",
        _BUSY,
        "503",
        "The list is too long to find the key's own objects in it. Ask for a narrower one.",
    ),
    ErrorCode(
        "internal_error",
        "server_error",
        "500",
        "A fault of the gateway's own. Try again; if it goes on, give the operator the request's id.",
    ),
    ErrorCode(
        "upstream_connect_failed",
        _PROVIDER,
        "502",
        "The model's provider could not be reached. Nothing was charged. Try again with backoff.",
    ),
    ErrorCode(
        "upstream_dropped", _PROVIDER, "502", "The provider closed the connection before its response ended. Try again."
    ),
    ErrorCode("upstream_protocol_error", _PROVIDER, "502", "The provider's response could not be read. Try again."),
    ErrorCode("upstream_timeout", _PROVIDER, "504", "The provider took too long. Try again, ask for less, or stream."),
    ErrorCode(
        "upstream_error",
        _PROVIDER,
        "502",
        "The provider failed, or refused the gateway. Try again with backoff; then give the operator the request's id.",
    ),
)
#: Those that most programs meet, for the page at `/`.
COMMON: Final = frozenset(
    {"invalid_request", "invalid_api_key", "model_not_found", "model_not_supported", "request_too_large"}
    | {"rate_limit_exceeded", "server_is_overloaded", "upstream_error", "upstream_timeout"}
)
