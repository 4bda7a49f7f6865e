"""`POST /v1/audio/speech` of the demo provider: a tone for each word in WAV or PCM, silence in MP3, as bytes or events.

The sound is valid and short; it is not speech. Phrases stand in `input`.
"""

import base64
import math
import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from proxy.demo.answers import count_tokens, filler, pieces
from proxy.demo.exchange import Event, Exchange, event
from proxy.demo.phrases import Orders, read_orders
from proxy.demo.replies import begin
from proxy.demo.settings import find_model
from proxy.errors import InvalidRequest

RATE: Final = 24_000
_MOST_CHARACTERS: Final = 4_096
_MOST_WORDS: Final = 200
#: One frame of silence: MPEG 1 layer III, 128 kbit/s, 44.1 kHz, mono; 26 ms. Eight of them are a word.
_FRAME: Final = b"\xff\xfb\x90\xc4" + bytes(413)
_TYPES: Final = {"mp3": b"audio/mpeg", "wav": b"audio/wav", "pcm": b"audio/pcm"}


class SpeechRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request."""

    model: str
    input: str
    voice: str | dict[str, str] = "alloy"
    response_format: str = "mp3"
    stream_format: str = "audio"


async def speech(exchange: Exchange) -> None:
    """Answer one speech request."""
    request = await exchange.read(SpeechRequest)
    model = find_model(request.model, ("speech",), "v1/audio/speech")
    if not 1 <= len(request.input) <= _MOST_CHARACTERS:
        raise InvalidRequest(f"'input' takes 1 to {_MOST_CHARACTERS} characters.", param="input", code="invalid_value")
    if request.response_format not in _TYPES:
        known = ", ".join(_TYPES)
        message = f"The demo provider makes {known}; it has no encoder for '{request.response_format}'."
        raise InvalidRequest(message, param="response_format", code="unsupported_value")
    orders = read_orders(request.input)
    words = min(orders.tokens or sum(1 for _ in pieces(request.input)), _MOST_WORDS)
    if not await begin(exchange, orders, model.name, filler(words), stream=True):
        return
    sounds = _sounds(request.response_format, words)
    if request.stream_format == "sse":
        await exchange.send_events(_events(sounds, request.input, words, orders), orders, model.name)
        return
    parts = (Event(sound, True) for sound in sounds)
    await exchange.send_events(parts, orders, model.name, content_type=_TYPES[request.response_format])


def _sounds(form: str, words: int) -> Iterator[bytes]:
    if form == "mp3":
        yield from [_FRAME * 8] * words
        return
    word = _spoken_word()
    if form == "wav":
        yield wav_head(len(word) * words) + word
        words -= 1
    yield from [word] * words


def _spoken_word() -> bytes:
    """A fifth of a second: a tone of 400 Hz, and silence behind it."""
    period = struct.pack("<60h", *(round(8_000 * math.sin(math.tau * at / 60)) for at in range(60)))
    return period * 60 + bytes(2 * 1_200)


def wav_head(size: int) -> bytes:
    """The head of a WAV file with so many bytes of mono 16 bit sound."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size)


def _events(sounds: Iterator[bytes], text: str, words: int, orders: Orders) -> Iterator[Event]:
    """With CRLF and an end mark, as OpenAI sends these."""
    for sound in sounds:
        yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(sound).decode()}, content=True)
    done: dict[str, object] = {"type": "speech.audio.done"}
    if not orders.no_usage:
        counted = count_tokens(text)
        done["usage"] = {"input_tokens": counted, "output_tokens": words * 4, "total_tokens": counted + words * 4}
    yield _event(done)
    if not orders.no_done:
        yield Event(b"data: [DONE]\r\n\r\n")


def _event(payload: dict[str, object], *, content: bool = False) -> Event:
    return Event(event(payload).data.replace(b"\n", b"\r\n"), content)


ROUTES: Final = (
    ("POST", "/v1/audio/speech", speech),
    ("POST", "/v1/audio/speech/stream", speech),
)
