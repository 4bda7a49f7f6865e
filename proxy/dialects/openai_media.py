"""OpenAI's audio, images and transcripts: how their events and their JSON are read.

Facts of the wire: https://platform.openai.com/docs/api-reference, the streaming pages of audio and images. Events name
themselves in `type`.
"""

import math
from typing import Final

import msgspec

from proxy.dialects.base import Dialect
from proxy.dialects.lenient import decode
from proxy.dialects.meters import EMPTY, ResponseMeter, text_size
from proxy.dialects.openai_chat import error_body, error_event, upstream_error
from proxy.dialects.schemas import (
    MediaEvent,
    MediaResponse,
    decode_items,
    decode_media,
    decode_media_event,
    decode_number,
)
from proxy.wire.json_scan import TopLevelScanner
from proxy.wire.schemas import Usage

#: Seconds of audio beyond which a length is not believed.
_MAX_AUDIO_SECONDS: Final = 10**9


class MediaMeter(ResponseMeter):
    """Reads one response of audio, images or transcripts, events or JSON: usage, seconds of audio, and how many images.

    The events are `transcript.text.*`, `speech.audio.*`, `image_generation.*` and `image_edit.*`; Mistral's are
    `transcription.*`, with a model in them.
    """

    __slots__ = ("_duration", "_images", "_scanner")
    path: tuple[str, ...] = ("model",)
    scalar_keys: tuple[bytes, ...] = (b"duration",)
    list_key: bytes = b"data"

    def __init__(self, alias: str, upstream_model: str, drop_usage: bool) -> None:
        super().__init__(alias, upstream_model, drop_usage)
        self._duration = 0.0
        self._images = 0
        #: Scans a response that is too large to be decoded.
        self._scanner: TopLevelScanner | None = None

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read a whole response; return the raw value of its model. Raises `UpstreamProtocolError`."""
        response = decode(decode_media, MediaResponse, payload)
        self._note(response.usage, response.error)
        if response.duration is not EMPTY:
            self._duration = _number_in(response.duration)
        if bytes(response.data).startswith(b"["):
            self._images = len(decode_items(response.data))
        return response.model

    def follow(self, scanner: TopLevelScanner) -> None:
        """Take seconds and images from this scanner, for as long as nothing was decoded."""
        self._scanner = scanner

    def usage(self) -> Usage | None:
        """The usage that was reported: tokens, or the seconds of the source, and how many images there are."""
        found = super().usage()
        seconds, images = self._duration, self._images
        if self._scanner is not None:
            durations = self._scanner.values.get(b"duration")
            if durations and not seconds:
                seconds = _number_in(durations[-1])
            images = images or self._scanner.sections[b"data"].items
        milliseconds = math.ceil(seconds * 1000) if 0 < seconds < _MAX_AUDIO_SECONDS else 0
        if found is None and not milliseconds and not images:
            return None
        found = found or Usage()
        return msgspec.structs.replace(
            found, audio_milliseconds=found.audio_milliseconds or milliseconds, images=found.images or images
        )


class MediaEventMeter(MediaMeter):
    """Reads one stream of audio, images or transcripts."""

    __slots__ = ()

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event; return the raw value of its model, which only some servers send."""
        event = decode(decode_media_event, MediaEvent, payload)
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


def _number_in(raw: bytes | msgspec.Raw) -> float:
    """A number, or a number in quotes, as some servers write it; 0.0 for anything else."""
    try:
        return decode_number(bytes(raw).strip(b'"'))
    except msgspec.DecodeError:
        return 0.0


MEDIA: Final = Dialect(
    name="openai",
    event_meter=MediaEventMeter,
    json_meter=MediaMeter,
    error_body=error_body,
    error_event=error_event,
    upstream_error=upstream_error,
)
