"""How an upstream's error reaches a client: as it came, or in the caller's envelope with the provider's message.

Decided for every dialect and for resources: which status is kept, whose message the client sees, what the log may say.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.dialects.base import Dialect
from proxy.dialects.causes import Cause, cause_of
from proxy.dialects.meters import try_decode
from proxy.dialects.scrub import scrub_all
from proxy.errors import GatewayError, UpstreamFailed, UpstreamRefused, UpstreamReported
from proxy.wire.headers import Header, header_value, rate_limit_lines, response_lines, retry_lines
from proxy.wire.sniff import sniff_kind

#: Characters of a provider's message that are passed on in an envelope of ours, and of a code or a parameter.
MAX_MESSAGE_CHARACTERS: Final = 1_000
MAX_WORD_CHARACTERS: Final = 64
#: Errors of one list, and levels of nesting, that are looked at.
_MAX_ERRORS: Final = 5
_MAX_LEVELS: Final = 5
#: About the gateway's own credential, at the provider or at a proxy on the way: it must not reach the client.
OWN_CREDENTIAL: Final = frozenset({401, 403, 407})
#: Statuses that a server in front of a provider sends with a page of its own, and that hold for the client.
_OF_FRONT_SERVERS: Final = frozenset({413, 429})
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_JSON_LINE: Final = b"content-type: application/json\r\n"
#: Where a message stands, and what kind of error it is, outside of an `error` object too; in lower case.
_MESSAGES: Final = (
    *("message", "detail", "msg", "error", "errors"),
    *("error_message", "error_msg", "error_description", "title"),
)
_CODES: Final = ("code", "status", "type", "error_type", "error_code")


@dataclass(frozen=True, slots=True)
class RelayedError:
    """An upstream's error, ready for the client."""

    status: int
    #: Header lines, and the body.
    lines: bytes
    body: bytes
    #: What the row of the ledger says.
    code: str
    #: The same for a client whose answer has begun.
    error: GatewayError


class ErrorResponse:
    """A response of an upstream with an error status; its body is decoded once."""

    def __init__(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._value = _value(body)

    @property
    def summary(self) -> str:
        """What the log says of it: its status and its code or type, none of its words, which may quote a client's."""
        return _summary(self.status, self._value)

    def cause(self) -> Cause:
        """Why the upstream could not serve the request; empty where that is not known."""
        return cause_of(self.status, _words(self._value), _message(self._value))

    def provider_failure(self) -> UpstreamFailed | None:
        """The error for a status that is not about the client's request, or None: another target may do better."""
        status = self.status
        if status in OWN_CREDENTIAL:
            return UpstreamFailed("The gateway was refused by the model's provider.", detail=self.summary)
        if status < 400:
            # Redirects are neither followed nor passed on: they name addresses of the upstream.
            return UpstreamFailed(f"The model's provider failed (status {status}).", detail=f"status {status}")
        return None

    def relayed(
        self,
        dialect: Dialect,
        native: bytes | None,
        names: Mapping[str, str],
        *,
        limits: bool,
        request_id: str,
        timestamp: str,
    ) -> RelayedError:
        """What the client gets of it, in the caller's dialect.

        `native` is the body where it is an error of that dialect already, else None: then the provider's words are put
        into an error of ours. `names` are what no client may read (the upstream's models, secrets), each with what it
        is replaced by; `limits` says whether the upstream's rate limits may be passed on.

        Raises `UpstreamFailed` for what is not about the client's request: redirects, the gateway's own credential,
        web pages.
        """
        failure = self.provider_failure()
        if failure is not None:
            raise failure
        status, headers, value = self.status, self.headers, self._value
        scrubbed = {name.encode(): alias.encode() for name, alias in names.items()}
        code = f"upstream_{status}"
        error = _restated(status, value, scrubbed)
        lines = rate_limit_lines(headers) if limits else b""
        if native is not None:
            # It was read as JSON, whatever its own headers say of its content.
            lines += response_lines([(name, text) for name, text in headers if not name.startswith(b"content-")])
            return RelayedError(status, _JSON_LINE + lines, scrub_all(native, scrubbed), code, error)
        if value is None and status < 500 and status not in _OF_FRONT_SERVERS and is_page(headers, self.body):
            message = f"The model's provider failed (status {status})."
            raise UpstreamFailed(message, detail=f"status {status}, a web page")
        if status >= 500 and not error.quotes:
            code = str(error.code)
        lines = _JSON_LINE + retry_lines(headers) + lines
        return RelayedError(status, lines, dialect.error_body(error, request_id, timestamp), code, error)


def relayed_error(
    dialect: Dialect,
    status: int,
    headers: Sequence[Header],
    body: bytes,
    names: Mapping[str, str],
    *,
    limits: bool,
    request_id: str,
    timestamp: str,
) -> RelayedError:
    """`ErrorResponse.relayed` for an upstream that speaks the caller's dialect."""
    native = dialect.upstream_error(body, "", "")
    response = ErrorResponse(status, headers, body)
    return response.relayed(dialect, native, names, limits=limits, request_id=request_id, timestamp=timestamp)


def error_in_resource(status: int, body: bytes, names: Mapping[str, str]) -> UpstreamReported | None:
    """The error for an answer of an object's that came with a good status and is an error all the same, or None.

    A resource may report an error of its own: it has an id, or names its type.
    """
    if b'"error"' not in body:
        return None
    value = try_decode(body)
    if not isinstance(value, dict) or value.get("id") or "data" in value:
        return None
    kind = value.get("object")
    if not (kind == "error" or (value.get("error") and not kind)):
        return None
    message = _message(value)
    message = scrub_all(message.encode(), {name.encode(): alias.encode() for name, alias in names.items()}).decode()
    return UpstreamReported(message[:MAX_MESSAGE_CHARACTERS], error_summary(status, body))


def is_page(headers: Sequence[Header], body: bytes) -> bool:
    """Whether it is a web page, which is made for people, and by no model's provider."""
    kind = (header_value(headers, b"content-type") or b"").lower()
    return b"html" in kind or sniff_kind(body, complete=True) == "page"


def error_summary(status: int, body: bytes) -> str:
    """What the log says of an error: its status and its code or type, none of its words, which may quote a client's."""
    return _summary(status, _value(body))


def _summary(status: int, value: Any) -> str:
    words = list(dict.fromkeys(_words(value)))
    return f"status {status}" + (f", {', '.join(words)}" if words else "")


def _value(body: bytes) -> Any:
    """The value of an error's body, or None; some write it as an event where a stream was asked for."""
    value = try_decode(body)
    if value is not None:
        return value
    events = (line.removeprefix(b"data:") for line in body.splitlines() if b'"error"' in line)
    return try_decode(next(events, b""))


def _restated(status: int, value: Any, names: Mapping[bytes, bytes]) -> UpstreamRefused:
    """The error of an envelope of our own: the provider's words where they are found.

    Of an upstream that failed, only those that stand where an error of a known format has them: others may be anything.
    """
    message = _message(value) if status < 500 else _message(_error_object(value))
    message = scrub_all(message.encode(), names).decode("utf-8", "replace").strip()[:MAX_MESSAGE_CHARACTERS]
    quotes = bool(message)
    code = next((word for word in _words(value) if scrub_all(word.encode(), names) == word.encode()), "")
    return UpstreamRefused(
        status,
        message or f"The model's provider failed (status {status}).",
        code=code if quotes else "",
        param=_param(value, names) if quotes else None,
        quotes=quotes,
    )


def _error_object(value: Any) -> Any:
    """The object in `error`, of the first element where it is a list; else None."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else None


def _message(value: Any, levels: int = _MAX_LEVELS) -> str:
    """The text of an error, wherever it is one of the usual places; "" where there is none."""
    if isinstance(value, str):
        return value.strip()
    if not levels:
        return ""
    if isinstance(value, list):
        found = [_item(one, levels - 1) for one in value[:_MAX_ERRORS]]
        return "; ".join(dict.fromkeys(one for one in found if one))
    if not isinstance(value, dict):
        return ""
    fields = {str(name).lower(): inner for name, inner in value.items()}
    # An object that holds the error goes before a word beside it, which goes before `error` as a word.
    inner = fields.get("error")
    if isinstance(inner, dict | list) and (found_inside := _message(inner, levels - 1)):
        return found_inside
    for name in _MESSAGES:
        if name in fields and (found_here := _message(fields[name], levels - 1)):
            return found_here
    return ""


def _item(value: Any, levels: int) -> str:
    """The text of one error of a list, with the place that it speaks of."""
    message = _message(value, levels)
    place = _place(value)
    return f"{place}: {message}" if place and message else message


def _place(value: Any) -> str:
    """The field that an error of a validation speaks of."""
    place = value.get("loc") if isinstance(value, dict) else None
    if not isinstance(place, list):
        return ""
    parts = [str(part) for part in place[:8] if isinstance(part, str | int)]
    return ".".join(parts[1:] if parts[:1] == ["body"] else parts)


def _words(value: Any) -> list[str]:
    """The code and the type of an error, those of the inner object first."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return []
    inner = value.get("error")
    found = _words(inner) if isinstance(inner, dict) else []
    for name in _CODES:
        word = value.get(name)
        if isinstance(word, int) and not isinstance(word, bool):
            # A number that is the status once more says nothing.
            word = "" if 100 <= word < 600 else str(word)
        if isinstance(word, str) and word != "error" and len(word) <= MAX_WORD_CHARACTERS and _WORD.fullmatch(word):
            found.append(word)
    return found


def _param(value: Any, names: Mapping[bytes, bytes]) -> str | None:
    """The parameter that is at fault, if it is named."""
    inner = _error_object(value) or value
    if not isinstance(inner, dict):
        return None
    found = inner.get("param")
    if not isinstance(found, str):
        detail = inner.get("detail")
        found = _place(detail[0]) if isinstance(detail, list) and detail else ""
    if not found or len(found) > MAX_WORD_CHARACTERS or scrub_all(found.encode(), names) != found.encode():
        return None
    return found
