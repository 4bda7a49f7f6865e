"""OpenAI's Responses API: how its typed events are read.

Facts of the wire: https://platform.openai.com/docs/api-reference/responses-streaming. Events name themselves in `type`.
"""

from typing import Final

import msgspec

from proxy.dialects.base import Dialect
from proxy.dialects.lenient import decode
from proxy.dialects.meters import EMPTY, NULL, ResponseMeter, text_size
from proxy.dialects.openai_chat import ChatMeter, error_body, error_event, searches, upstream_error
from proxy.dialects.schemas import ResponsesEvent, decode_responses_event

_TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class ResponsesMeter(ResponseMeter):
    """Reads one stream of typed events."""

    __slots__ = ()
    path: tuple[str, ...] = ("response", "model")

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event; return the raw value of its response's model. Raises `UpstreamProtocolError`."""
        if self.terminal:
            # What follows the last event is no part of the response.
            self.drop = True
            return EMPTY
        event = decode(decode_responses_event, ResponsesEvent, payload)
        kind = event.type
        if kind != "keepalive":
            self.closing = kind.endswith(".done")
        if event.delta is not EMPTY:
            self.text_out += text_size(event.delta)
        if kind in _TERMINAL:
            # Some servers send an end marker after it, as in chats.
            self.finished = self.terminal = True
            self.failed = self.failed or kind == "response.failed"
        elif kind.endswith((".completed", ".done")) and not kind.startswith("response."):
            self._finish(self.text_out)
        self._note(event.usage, event.error)
        if kind == "error":
            self.failed = True
        response = event.response
        if response is None:
            return EMPTY
        if response.usage is not EMPTY and response.usage != NULL:
            self._take_usage(response.usage)
        if response.service_tier is not EMPTY:
            self._take_tier(response.service_tier)
        if kind in _TERMINAL and response.output is not EMPTY:
            self._searches = searches(response.output)
        return response.model


RESPONSES: Final = Dialect(
    name="openai",
    event_meter=ResponsesMeter,
    json_meter=ChatMeter,
    # OpenAI's Responses API differs in this from its other endpoints.
    unknown_model_status=400,
    error_body=error_body,
    error_event=error_event,
    upstream_error=upstream_error,
)
