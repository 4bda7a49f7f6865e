"""OpenAI's typed events: the Responses API, and the streams of audio, images and transcripts.

Their events name themselves in `type`. Facts of the wire: https://platform.openai.com/docs/api-reference/responses-streaming
and the streaming pages of audio and images.
"""

import math
from typing import Final

import msgspec

from proxy.dialects.base import Dialect
from proxy.dialects.lenient import decode_lenient
from proxy.dialects.meters import EMPTY, NULL, ResponseMeter, text_size
from proxy.dialects.openai_chat import ChatMeter, error_body, error_event, searches, upstream_error
from proxy.dialects.typed_shapes import (
    Event,
    Media,
    MediaEvent,
    decode_event,
    decode_items,
    decode_media,
    decode_media_event,
    decode_number,
)
from proxy.wire.json_summary import JsonSummary
from proxy.wire.schemas import Usage

#: Seconds of audio beyond which a length is no length.
_LONGEST_AUDIO: Final = 10**9
_TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class TypedMeter(ResponseMeter):
    """Reads one stream of typed events."""

    __slots__ = ()
    path: tuple[str, ...] = ("response", "model")

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event; return the raw value of its response's model. Raises `UpstreamProtocolError`."""
        if self.terminal:
            # Nothing of an answer comes behind its end.
            self.drop = True
            return EMPTY
        try:
            event = decode_event(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            event = decode_lenient(Event, payload, error)
        kind = event.type
        if kind != "keepalive":
            self.closing = kind.endswith(".done")
        if event.delta is not EMPTY:
            self.text_out += text_size(event.delta)
        if kind in _TERMINAL:
            # Some servers send a mark of the end behind it, as those of chats do.
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


class MediaMeter(ResponseMeter):
    """Reads one answer of audio, images or transcripts, events or JSON: usage, seconds of audio, and how many images.

    The events are `transcript.text.*`, `speech.audio.*`, `image_generation.*` and `image_edit.*`; Mistral's are
    `transcription.*`, with a model in them.
    """

    __slots__ = ("_duration", "_images", "glance")
    path: tuple[str, ...] = ("model",)

    def __init__(self, alias: str, upstream_model: str, drop_usage: bool) -> None:
        super().__init__(alias, upstream_model, drop_usage)
        self._duration = 0.0
        self._images = 0
        #: Looks at a JSON answer that comes in pieces.
        self.glance = JsonSummary(b"duration", b"data")

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read a whole answer; return the raw value of its model. Raises `UpstreamProtocolError`."""
        try:
            answer = decode_media(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            answer = decode_lenient(Media, payload, error)
        self._note(answer.usage, answer.error)
        if answer.duration is not EMPTY:
            self._take_duration(answer.duration)
        if bytes(answer.data).startswith(b"["):
            self._images = len(decode_items(answer.data))
        return answer.model

    def usage(self) -> Usage | None:
        """What the answer said it used: tokens, or the seconds of its source, and how many images it has."""
        found = super().usage()
        seconds = self._duration or self.glance.number or 0.0
        images = self._images or self.glance.items
        milliseconds = math.ceil(seconds * 1000) if 0 < seconds < _LONGEST_AUDIO else 0
        if found is None and not milliseconds and not images:
            return None
        found = found or Usage()
        return msgspec.structs.replace(
            found, audio_milliseconds=found.audio_milliseconds or milliseconds, images=found.images or images
        )

    def _take_duration(self, raw: msgspec.Raw) -> None:
        """A number, or a number in quotes, as some servers write it; anything else says nothing."""
        try:
            self._duration = decode_number(bytes(raw).strip(b'"'))
        except msgspec.DecodeError:
            self._duration = 0.0


class MediaEventMeter(MediaMeter):
    """The same for a stream."""

    __slots__ = ()

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event; return the raw value of its model, which only some servers send."""
        try:
            event = decode_media_event(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            event = decode_lenient(MediaEvent, payload, error)
        kind = event.type
        self._note(event.usage, event.error)
        if kind == "error":
            self.failed = True
        if event.delta is not EMPTY:
            self.text_out += text_size(event.delta)
        if kind.endswith((".completed", ".done")):
            self._finish(self.text_out)
            self._images += kind.startswith("image") and kind.endswith(".completed")
        return event.model


TYPED: Final = Dialect(
    name="openai",
    event_meter=TypedMeter,
    json_meter=ChatMeter,
    # OpenAI's Responses API differs in this from its other endpoints.
    unknown_model_status=400,
    error_body=error_body,
    error_event=error_event,
    upstream_error=upstream_error,
)

MEDIA: Final = Dialect(
    name="openai",
    event_meter=MediaEventMeter,
    json_meter=MediaMeter,
    error_body=error_body,
    error_event=error_event,
    upstream_error=upstream_error,
)
