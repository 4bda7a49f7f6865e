"""The `demo:` phrases that make the provider fail or slow down on purpose, and its errors in each API's format.

Pure: text in, faults and error bodies out. The error messages name the upstream model on purpose, as providers do:
a gateway that passes them on leaks it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from proxy.errors import GatewayError, InvalidRequest

_PHRASE = re.compile(r"(?<![\w:])demo:(?:(?P<flag>no-usage|no-done)\b|(?P<name>[a-z-]+)=(?P<value>[^\s,;\"'`<>()]*))")
_KNOWN = (
    "known are demo:error=429, demo:delay=2.5, demo:pace=0.2, demo:tokens=500, demo:cut=5, demo:stall=5, "
    "demo:error-event=3, demo:call=NAME, demo:no-usage and demo:no-done."
)
_MAX_SCANNED_CHARACTERS = 20_000
#: The smallest and the largest value of each phrase that takes a number, and whether it must be a whole one.
_RANGES: Final = {
    "error": (400, 599, True),
    "delay": (0, 600, False),
    "pace": (0, 600, False),
    "tokens": (1, 100_000, True),
    "cut": (0, 100_000, True),
    "stall": (0, 100_000, True),
    "error-event": (0, 100_000, True),
}
#: OpenAI's error types and codes by status, and the names that Anthropic and Google have for the same.
_TYPES: Final = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    503: ("service_unavailable_error", "server_is_overloaded"),
}
_ANTHROPIC_TYPES: Final = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_GOOGLE_STATUSES: Final = {
    **{400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"},
    **{429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"},
}


@dataclass(frozen=True)
class DemoFaults:
    """What the phrases of a prompt ask for; None or False is the ordinary behaviour. `delay` and `pace` are seconds."""

    error: int | None = None
    delay: float | None = None
    pace: float | None = None
    tokens: int | None = None
    cut: int | None = None
    stall: int | None = None
    error_event: int | None = None
    call: str | None = None
    no_usage: bool = False
    no_done: bool = False


def parse_faults(text: str) -> DemoFaults:
    """The faults that a prompt asks for; the last of two of a kind counts. Of a long text both ends are scanned.

    Raises InvalidRequest for an unknown `demo:name=value` and for a value out of its range.
    """
    faults: dict[str, Any] = {}
    for match in _PHRASE.finditer(_both_ends(text)):
        name = match["flag"] or match["name"]
        faults[name.replace("-", "_")] = True if match["flag"] else _value(name, match["value"].rstrip(".!?:"))
    return DemoFaults(**faults)


def without_phrases(text: str) -> str:
    """The prompt without its phrases; of a very long one both ends."""
    return " ".join(_PHRASE.sub(" ", _both_ends(text)).split())


def _both_ends(text: str) -> str:
    # Megabytes of prompt must not block the event loop, which other requests share.
    half = _MAX_SCANNED_CHARACTERS // 2
    return text if len(text) <= _MAX_SCANNED_CHARACTERS else f"{text[:half]} {text[-half:]}"


def _value(name: str, value: str) -> int | float | str:
    if name == "call" and value:
        return value
    if name not in _RANGES:
        raise InvalidRequest(f"Unknown demo phrase demo:{name}; {_KNOWN}", code="invalid_value")
    low, high, whole = _RANGES[name]
    pattern = r"\d{1,9}" if whole else r"\d{1,9}(\.\d{1,9})?"
    if not re.fullmatch(pattern, value, re.ASCII) or not low <= float(value) <= high:
        kind = "a whole number" if whole else "a number"
        raise InvalidRequest(f"demo:{name} takes {kind} from {low} to {high}; {_KNOWN}", code="invalid_value")
    return int(value) if whole else float(value)


def provider_error(status: int, model: str) -> GatewayError:
    """The error that OpenAI would respond with for this status."""
    kind, code = _TYPES.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
    headers = {"retry-after": "1"} if status in (429, 503) else {}
    error = GatewayError(f"The model `{model}` fails on order: demo error {status}.", type=kind, headers=headers)
    error.status, error.code = status, code
    return error


def error_body(error: GatewayError) -> dict[str, Any]:
    """An error as OpenAI writes it."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def _anthropic_body(error: GatewayError) -> dict[str, Any]:
    kind = _ANTHROPIC_TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}}


def _gemini_body(error: GatewayError) -> dict[str, Any]:
    status = _GOOGLE_STATUSES.get(error.status, "INTERNAL" if error.status >= 500 else "FAILED_PRECONDITION")
    return {"error": {"code": error.status, "message": error.message, "status": status}}


def _data_event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _error_event(body: dict[str, Any]) -> bytes:
    return b"event: error\n" + _data_event(body)


def _responses_event(body: dict[str, Any]) -> bytes:
    return _error_event({"type": "error", "sequence_number": 0, **body})


def _bare_event(body: dict[str, Any]) -> bytes:
    # No `data:` before it: an error is the one thing that Google writes bare into its streams.
    return msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"


@dataclass(frozen=True)
class DemoFormat:
    """How one API family reports errors, as a body and inside a stream."""

    error_body: Callable[[GatewayError], dict[str, Any]]
    error_event: Callable[[dict[str, Any]], bytes]
    request_id_header: bytes = b"x-request-id"


_OPENAI: Final = DemoFormat(error_body, _data_event)
_RESPONSES: Final = DemoFormat(error_body, _responses_event)
_ANTHROPIC: Final = DemoFormat(_anthropic_body, _error_event, b"request-id")
_GEMINI: Final = DemoFormat(_gemini_body, _bare_event)


def format_of(path: str) -> DemoFormat:
    """The format of the API family that a path belongs to."""
    if path.startswith("/v1beta/"):
        return _GEMINI
    if path.startswith("/v1/messages"):
        return _ANTHROPIC
    return _RESPONSES if path.startswith("/v1/responses") else _OPENAI
