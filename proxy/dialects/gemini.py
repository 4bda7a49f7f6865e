"""Gemini's dialect: how generateContent responses are read and what errors look like.

Facts of the wire: https://ai.google.dev/api/generate-content and https://google.aip.dev/193 (errors). A stream is
either server-sent events (`alt=sse`) or one JSON array whose elements arrive one by one; both have the same chunks.
"""

from typing import Any, Final

import msgspec

from proxy.dialects.base import Dialect
from proxy.dialects.lenient import decode_lenient
from proxy.dialects.meters import EMPTY, ChoicesMeter, is_error, is_finish_reason, try_decode
from proxy.dialects.schemas import GenerateChunk, decode_generate_chunk, decode_generate_chunks, decode_grounding
from proxy.dialects.scrub import scrub
from proxy.errors import GatewayError
from proxy.wire.schemas import DECODE_ERRORS

_encoder = msgspec.json.Encoder()
#: Google's status names by HTTP status; others are INTERNAL from 500 on, else INVALID_ARGUMENT.
_STATUSES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class GenerateMeter(ChoicesMeter):
    """Reads one response: an event of a stream, a whole response, or a whole array of chunks."""

    __slots__ = ()
    path: tuple[str, ...] = ("modelVersion",)

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one chunk, or an array of them; return the last one's raw model. Raises `UpstreamProtocolError`."""
        try:
            if payload.lstrip()[:1] == b"[":
                chunks = decode_generate_chunks(payload)
            else:
                chunks = [decode_generate_chunk(payload)]
        except DECODE_ERRORS as error:
            chunks = [decode_lenient(GenerateChunk, payload, error)]
        model = EMPTY
        for chunk in chunks:
            self._note_chunk(chunk)
            if chunk.model_version is not EMPTY:
                model = chunk.model_version
        return model

    def _note_chunk(self, chunk: GenerateChunk) -> None:
        for candidate in chunk.candidates or ():
            if candidate.index != self._choice:
                self._turn_to(candidate.index)
            self.text_out += len(bytes(candidate.content))
            if candidate.grounding_metadata is not EMPTY:
                self._searches = max(self._searches, _queries(candidate.grounding_metadata))
            if candidate.finish_reason is not EMPTY and is_finish_reason(candidate.finish_reason):
                self._finish_choice()
        if b'"blockReason"' in bytes(chunk.prompt_feedback):
            # A blocked prompt has no candidates, and no finish reason; without one these are ratings of any prompt.
            self.finished = True
        if b"TokenCount" in bytes(chunk.usage_metadata):
            # Vertex sends one without counts until the last chunk.
            self._take_usage(chunk.usage_metadata)
        if is_error(chunk.error):
            self.failed = True

    @property
    def goes_on(self) -> bool:
        """Always: some models give a finish reason with every chunk, and others before the last parts."""
        return True


def _queries(grounding: msgspec.Raw) -> int:
    """How many web searches a response is grounded in."""
    try:
        found = decode_grounding(grounding)
    except DECODE_ERRORS:
        return 0
    return len(found.web_search_queries or ()) if found is not None else 0


def error_body(error: GatewayError, request_id: str, timestamp: str) -> bytes:
    """Google's error envelope."""
    status = _STATUSES.get(error.status) or ("INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT")
    details = [{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id}]
    wait = error.headers.get("retry-after-ms")
    if wait is not None:
        seconds = f"{int(wait) / 1_000:.3f}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": seconds})
    detail = {"code": error.status, "message": error.message, "status": status, "details": details}
    return _encoder.encode({"error": detail})


def error_event(error: GatewayError, request_id: str, timestamp: str) -> bytes:
    """An error inside a stream: a bare JSON object, as Google sends it and its SDKs expect it."""
    return error_body(error, request_id, timestamp) + b"\r\n\r\n"


def upstream_error(body: bytes, upstream_model: str, alias: str) -> bytes | None:
    """An upstream's error body as it may be passed on, or None when it is not Google's shape."""
    return scrub(body, upstream_model.encode(), alias.encode()) if _is_error(try_decode(body)) else None


def _is_error(value: Any) -> bool:
    """Whether a decoded error body is Google's; the streaming endpoint responds with an array of one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str) or "type" in error:
        return False
    return isinstance(error.get("status"), str) or isinstance(error.get("code"), int)


GENERATE: Final = Dialect(
    name="gemini",
    # Its SDK takes a comment for JSON.
    heartbeat=b"",
    event_meter=GenerateMeter,
    json_meter=GenerateMeter,
    usage_key="usageMetadata",
    streams_arrays=True,
    choice_counts=("generationConfig", "generation_config"),
    error_body=error_body,
    error_event=error_event,
    upstream_error=upstream_error,
)
