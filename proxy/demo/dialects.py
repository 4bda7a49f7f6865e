"""How the demo provider reports errors in each family of formats: bodies, and events of a stream that has begun.

Pure. The texts are made in `faults`; here they only get their shape.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from proxy.demo.faults import error_body
from proxy.errors import GatewayError

_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_GOOGLE_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True)
class Dialect:
    """One family of formats."""

    name: str
    error_body: Callable[[GatewayError], Any]
    error_event: Callable[[GatewayError], bytes]
    #: Headers of every answer, and the one that has the request's id.
    headers: tuple[tuple[bytes, bytes], ...]
    id_header: bytes


def dialect_of(path: str) -> Dialect:
    """The dialect that is spoken at a path."""
    if path.startswith("/v1beta/"):
        return GEMINI
    if path.startswith("/v1/messages"):
        return ANTHROPIC
    return RESPONSES if path.startswith("/v1/responses") else OPENAI


def _openai_event(error: GatewayError) -> bytes:
    return b"data: " + msgspec.json.encode(error_body(error)) + b"\n\n"


def _responses_event(error: GatewayError) -> bytes:
    payload = {"type": "error", "sequence_number": 0, **error_body(error)}
    return b"event: error\ndata: " + msgspec.json.encode(payload) + b"\n\n"


def _anthropic_body(error: GatewayError) -> dict[str, Any]:
    kind = _ANTHROPIC_TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}}


def _anthropic_event(error: GatewayError) -> bytes:
    return b"event: error\ndata: " + msgspec.json.encode(_anthropic_body(error)) + b"\n\n"


def _gemini_body(error: GatewayError) -> dict[str, Any]:
    status = _GOOGLE_STATUSES.get(error.status, "INTERNAL" if error.status >= 500 else "FAILED_PRECONDITION")
    return {"error": {"code": error.status, "message": error.message, "status": status}}


def _gemini_event(error: GatewayError) -> bytes:
    # No `data:` before it: an error is the one thing that Google writes bare into its streams.
    return msgspec.json.format(msgspec.json.encode(_gemini_body(error)), indent=2) + b"\n"


_OPENAI_HEADERS: Final = ((b"openai-organization", b"org-demo"), (b"openai-version", b"2020-10-01"))

OPENAI: Final = Dialect("openai", error_body, _openai_event, _OPENAI_HEADERS, b"x-request-id")
RESPONSES: Final = Dialect("responses", error_body, _responses_event, _OPENAI_HEADERS, b"x-request-id")
ANTHROPIC: Final = Dialect(
    "anthropic", _anthropic_body, _anthropic_event, ((b"anthropic-organization-id", b"org-demo"),), b"request-id"
)
GEMINI: Final = Dialect("gemini", _gemini_body, _gemini_event, ((b"server", b"demo"),), b"x-request-id")
