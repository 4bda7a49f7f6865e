"""Media endpoints: transcriptions, speech and images. Generated files are valid; those that are sent are not read."""

import base64
import hashlib
import io
import math
import struct
import time
import wave
import zlib
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec

from proxy.demo.exchange import CRLF_DONE, DemoEvent, DemoExchange, convert, event, typed_event
from proxy.demo.faults import DemoFaults, parse_faults, without_phrases
from proxy.demo.settings import find_model
from proxy.demo.words import count_tokens, filler_text, split_words
from proxy.errors import InvalidRequest

#: Samples a second of generated speech, 16 bit mono.
SAMPLE_RATE: Final = 24_000
#: 128 kbit/s, where the file does not say its length.
_BYTES_PER_SECOND: Final = 16_000
_MAX_SPEECH_WORDS: Final = 200
#: A frame of silence: MPEG 1 layer III, 128 kbit/s, 44.1 kHz, mono; 26 ms. Eight of them are a word.
_MP3_FRAME: Final = b"\xff\xfb\x90\xc4" + bytes(413)
_SPEECH_TYPES: Final = {"mp3": b"audio/mpeg", "wav": b"audio/wav", "pcm": b"audio/pcm"}
_IMAGE_PIXELS: Final = 64
_IMAGE_OUTPUT_TOKENS: Final = 272
_IMAGE_INPUT_TOKENS: Final = 65


class TranscriptionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a form to `POST /v1/audio/transcriptions` and `/v1/audio/translations`."""

    model: str = ""
    prompt: str = ""
    language: str = "english"
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"
    stream: bool = False


class SpeechRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/audio/speech`."""

    model: str
    input: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    voice: str | dict[str, str] = "alloy"
    response_format: Literal["mp3", "wav", "pcm"] = "mp3"
    stream_format: str = "audio"


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/images/…`; the same whether it comes as JSON or as a form."""

    model: str = "demo-canvas"
    prompt: str = ""
    n: Annotated[int, msgspec.Meta(ge=1, le=4)] | None = None
    size: str | None = None
    response_format: str | None = None
    stream: bool | None = None
    partial_images: Annotated[int, msgspec.Meta(ge=0, le=3)] | None = None
    images: list[Any] = []


async def transcribe(exchange: DemoExchange) -> None:
    """`POST /v1/audio/transcriptions` and `/v1/audio/translations`: a text about the file. Phrases are in `prompt`."""
    form = await exchange.read_form()
    request = convert(form.last_values, TranscriptionRequest, strict=False)
    model = find_model(request.model, ("audio",), "v1/audio").name
    file = form.file("file")
    faults = parse_faults(request.prompt)
    seconds = audio_seconds(file.data)
    hint = without_phrases(request.prompt)
    about = f" You said it is about {hint[:100]}." if hint else ""
    text = f"The demo model cannot hear, but {file.filename} came whole: {seconds:.1f} seconds of it.{about}"
    text = filler_text(faults.tokens) if faults.tokens else text
    await exchange.think(faults, model, [text], stream=request.stream)
    usage = {} if faults.no_usage else {"usage": {"type": "duration", "seconds": math.ceil(seconds)}}
    if request.stream:
        await exchange.send_events(_transcript_events(text, usage), faults, model, end_mark=CRLF_DONE)
    elif request.response_format in ("text", "srt", "vtt"):
        body = _plain_transcript(request.response_format, text, seconds).encode()
        await exchange.send_bytes(body, b"text/plain; charset=utf-8", faults)
    else:
        transcript: dict[str, Any] = {"text": text}
        if request.response_format == "verbose_json":
            segments = [{"id": 0, "start": 0.0, "end": seconds, "text": text}]
            transcript |= {"language": request.language, "duration": seconds, "segments": segments}
        await exchange.send_json({**transcript, **usage}, faults)


def audio_seconds(data: bytes) -> float:
    """The length of a recording, of its WAV header or guessed from its size."""
    try:
        with wave.open(io.BytesIO(data)) as recording:
            return float(recording.getnframes() / (recording.getframerate() or 1))
    except (wave.Error, EOFError, RuntimeError):
        # RuntimeError is what the reader raises for a header whose sizes disagree.
        return len(data) / _BYTES_PER_SECOND


def _plain_transcript(wanted: str, text: str, seconds: float) -> str:
    if wanted == "srt":
        return f"1\n{_timestamp(0, ',')} --> {_timestamp(seconds, ',')}\n{text}\n\n"
    if wanted == "vtt":
        return f"WEBVTT\n\n{_timestamp(0, '.')} --> {_timestamp(seconds, '.')}\n{text}\n\n"
    return text + "\n"


def _timestamp(seconds: float, mark: str) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{mark}{milliseconds:03}"


def _transcript_events(text: str, usage: dict[str, Any]) -> Iterator[DemoEvent]:
    for word in split_words(text):
        yield event({"type": "transcript.text.delta", "delta": word}, content=True, crlf=True)
    yield event({"type": "transcript.text.done", "text": text, **usage}, crlf=True)


async def speak(exchange: DemoExchange) -> None:
    """`POST /v1/audio/speech`: a tone for each word in WAV or PCM, silence in MP3, as bytes or events."""
    request = await exchange.read(SpeechRequest)
    model, faults = await exchange.begin(request.model, ("speech",), request.input, stream=True)
    words = min(faults.tokens or sum(1 for _ in split_words(request.input)), _MAX_SPEECH_WORDS)
    sounds = _sounds(request.response_format, words)
    if request.stream_format == "sse":
        events = _speech_events(sounds, request.input, words, faults)
        await exchange.send_events(events, faults, model, end_mark=CRLF_DONE)
        return
    parts = (DemoEvent(sound, True) for sound in sounds)
    await exchange.send_events(parts, faults, model, _SPEECH_TYPES[request.response_format])


def _sounds(audio_format: str, words: int) -> Iterator[bytes]:
    if audio_format == "mp3":
        yield from [_MP3_FRAME * 8] * words
        return
    # A fifth of a second: a tone of 400 Hz, and silence.
    period = struct.pack("<60h", *(round(8_000 * math.sin(math.tau * at / 60)) for at in range(60)))
    word = period * 60 + bytes(2 * 1_200)
    if audio_format == "wav":
        yield wav_header(len(word) * words) + word
        words -= 1
    yield from [word] * words


def wav_header(size: int) -> bytes:
    """The header of a WAV file with this many bytes of samples."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size)


def _speech_events(sounds: Iterator[bytes], text: str, words: int, faults: DemoFaults) -> Iterator[DemoEvent]:
    for sound in sounds:
        delta = {"type": "speech.audio.delta", "audio": base64.b64encode(sound).decode()}
        yield event(delta, content=True, crlf=True)
    tokens, output = count_tokens(text), words * 4
    usage = {"input_tokens": tokens, "output_tokens": output, "total_tokens": tokens + output}
    yield event({"type": "speech.audio.done", **({} if faults.no_usage else {"usage": usage})}, crlf=True)


async def generate_image(exchange: DemoExchange) -> None:
    await _send_images(exchange, await exchange.read(ImageRequest), "image_generation")


async def edit_image(exchange: DemoExchange) -> None:
    request = await _image_form(exchange) if exchange.has_form else await exchange.read(ImageRequest)
    if not request.images:
        raise InvalidRequest("'images' names no picture.", param="images", code="missing_required_parameter")
    await _send_images(exchange, request, "image_edit")


async def vary_image(exchange: DemoExchange) -> None:
    await _send_images(exchange, await _image_form(exchange), "image_variation")


async def _image_form(exchange: DemoExchange) -> ImageRequest:
    form = await exchange.read_form()
    form.file("image")
    fields = {**form.last_values, "images": [file.filename for file in form.files]}
    return convert(fields, ImageRequest, strict=False)


async def _send_images(exchange: DemoExchange, request: ImageRequest, task: str) -> None:
    if not request.prompt and task != "image_variation":
        raise InvalidRequest("'prompt' is missing.", param="prompt", code="missing_required_parameter")
    model, faults = await exchange.begin(request.model, ("image",), request.prompt, stream=bool(request.stream))
    common: dict[str, Any] = {
        "background": "opaque",
        "output_format": "png",
        "quality": "low",
        "size": request.size or "1024x1024",
    }
    usage = {} if faults.no_usage else {"usage": _image_usage(request)}
    if request.stream:
        common["created_at"] = int(time.time())
        await exchange.send_events(_image_events(request, task, common, usage), faults, model)
        return
    data = [_image_base64(request.prompt, number) for number in range(request.n or 1)]
    if request.response_format == "url":
        images = [{"url": f"data:image/png;base64,{one}"} for one in data]
    else:
        images = [{"b64_json": one} for one in data]
    await exchange.send_json({"created": int(time.time()), "data": images, **common, **usage}, faults)


def _image_events(
    request: ImageRequest, task: str, common: dict[str, Any], usage: dict[str, Any]
) -> Iterator[DemoEvent]:
    for number in range(request.partial_images or 0):
        sketch = {"b64_json": _image_base64(request.prompt, 100 + number), "partial_image_index": number}
        yield typed_event(f"{task}.partial_image", {**common, **sketch}, content=True)
    whole = {"b64_json": _image_base64(request.prompt, 0), **usage}
    yield typed_event(f"{task}.completed", {**common, **whole}, content=True)


def _image_base64(prompt: str, number: int) -> str:
    return base64.b64encode(image(prompt, number)).decode()


def _image_usage(request: ImageRequest) -> dict[str, Any]:
    texts, images = count_tokens(request.prompt), _IMAGE_INPUT_TOKENS * len(request.images)
    output = _IMAGE_OUTPUT_TOKENS * (request.n or 1)
    return {
        "total_tokens": texts + images + output,
        "input_tokens": texts + images,
        "output_tokens": output,
        "input_tokens_details": {"text_tokens": texts, "image_tokens": images},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": output},
    }


def image(prompt: str, number: int) -> bytes:
    """A square in PNG that runs from one colour into another; the colours follow from the prompt."""
    seed = hashlib.sha256(f"{without_phrases(prompt)}/{number}".encode("utf-8", "replace")).digest()
    first, last = seed[:3], seed[3:6]
    row = bytes(
        first[part] + (last[part] - first[part]) * at // (_IMAGE_PIXELS - 1)
        for at in range(_IMAGE_PIXELS)
        for part in range(3)
    )
    header = struct.pack(">IIBBBBB", _IMAGE_PIXELS, _IMAGE_PIXELS, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\x00" + row) * _IMAGE_PIXELS)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
