"""`POST /v1/audio/transcriptions` and `/v1/audio/translations` of the demo provider.

Nothing is heard: the text tells of the file, and its length in seconds is read from a WAV head or guessed from the
size. Phrases stand in the field `prompt`.
"""

import io
import math
import wave
from collections.abc import Iterator
from typing import Any, Final

from proxy.demo.answers import filler, pieces
from proxy.demo.exchange import Event, Exchange, event
from proxy.demo.forms import Form, Upload
from proxy.demo.phrases import Orders, read_orders, without_phrases
from proxy.demo.replies import begin
from proxy.demo.settings import find_model
from proxy.errors import InvalidRequest

_FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
#: What a second of speech takes, where the file does not say: 128 kbit/s.
_BYTES_A_SECOND: Final = 16_000


async def transcriptions(exchange: Exchange) -> None:
    """`POST /v1/audio/transcriptions`."""
    await _answer(exchange, "transcribe")


async def translations(exchange: Exchange) -> None:
    """`POST /v1/audio/translations`."""
    await _answer(exchange, "translate")


async def _answer(exchange: Exchange, task: str) -> None:
    form = await exchange.read_form()
    model = find_model(form.get("model"), ("audio",), f"v1{exchange.scope['path'].removeprefix('/v1')}")
    upload = form.upload("file")
    wanted = form.get("response_format", "json")
    if wanted not in _FORMATS:
        raise InvalidRequest(
            f"'response_format' must be one of {', '.join(_FORMATS)}.", param="response_format", code="invalid_value"
        )
    orders = read_orders(form.get("prompt"))
    seconds = seconds_of(upload)
    text = _heard(form, upload, orders, seconds)
    stream = form.flag("stream")
    if not await begin(exchange, orders, model.name, text, stream=stream):
        return
    usage = {} if orders.no_usage else {"usage": {"type": "duration", "seconds": math.ceil(seconds)}}
    if stream:
        await exchange.send_events(_stream(text, usage, orders), orders, model.name)
    elif wanted in ("text", "srt", "vtt"):
        body = _plain(wanted, text, seconds).encode()
        await exchange.send_bytes(body, b"text/plain; charset=utf-8", orders=orders)
    else:
        await exchange.send_json({**_shaped(wanted, task, form, text, seconds), **usage}, orders=orders)


def seconds_of(upload: Upload) -> float:
    """How long a recording is."""
    try:
        with wave.open(io.BytesIO(upload.data)) as recording:
            return float(recording.getnframes() / (recording.getframerate() or 1))
    except (wave.Error, EOFError, RuntimeError):
        # The last is what the reader raises for a head whose sizes do not agree.
        return len(upload.data) / _BYTES_A_SECOND


def _heard(form: Form, upload: Upload, orders: Orders, seconds: float) -> str:
    if orders.tokens:
        return filler(orders.tokens)
    hint = without_phrases(form.get("prompt"))
    about = f" You said it is about {hint[:100]}." if hint else ""
    return f"The demo model cannot hear, but {upload.filename} came whole: {seconds:.1f} seconds of it.{about}"


def _shaped(wanted: str, task: str, form: Form, text: str, seconds: float) -> dict[str, Any]:
    if wanted == "json":
        return {"text": text}
    whole = {"task": task, "duration": seconds, "text": text}
    segment = {"id": 0, "start": 0.0, "end": seconds, "text": text}
    if wanted == "diarized_json":
        return {**whole, "segments": [{**segment, "id": "seg_0", "type": "transcript.text.segment", "speaker": "A"}]}
    details = {"seek": 0, "tokens": [], "temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0}
    shaped = {
        **whole,
        "language": form.get("language", "english"),
        "segments": [{**segment, **details, "no_speech_prob": 0.0}],
    }
    if "word" in form.fields.get("timestamp_granularities[]", []):
        words = text.split()
        step = seconds / max(len(words), 1)
        shaped["words"] = [
            {"word": word, "start": round(index * step, 2), "end": round((index + 1) * step, 2)}
            for index, word in enumerate(words)
        ]
    return shaped


def _plain(wanted: str, text: str, seconds: float) -> str:
    if wanted == "srt":
        return f"1\n{_clock(0, ',')} --> {_clock(seconds, ',')}\n{text}\n\n"
    if wanted == "vtt":
        return f"WEBVTT\n\n{_clock(0, '.')} --> {_clock(seconds, '.')}\n{text}\n\n"
    return text + "\n"


def _clock(seconds: float, mark: str) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{mark}{thousandths:03}"


def _stream(text: str, usage: dict[str, Any], orders: Orders) -> Iterator[Event]:
    """With CRLF and an end mark, as OpenAI sends these."""
    for piece in pieces(text):
        yield _crlf(event({"type": "transcript.text.delta", "delta": piece}, content=True))
    yield _crlf(event({"type": "transcript.text.done", "text": text, **usage}))
    if not orders.no_done:
        yield Event(b"data: [DONE]\r\n\r\n")


def _crlf(one: Event) -> Event:
    return Event(one.data.replace(b"\n", b"\r\n"), one.content)


ROUTES: Final = (
    ("POST", "/v1/audio/transcriptions", transcriptions),
    ("POST", "/v1/audio/translations", translations),
)
