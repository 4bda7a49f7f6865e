"""Schemas of OpenAI's media formats: transcriptions, speech and images.

Source: https://platform.openai.com/docs/api-reference/audio and /images.
"""

from collections.abc import Mapping
from typing import Final

from proxy.pages.documentation.openapi.notation import (
    BINARY,
    COUNT,
    FLAG,
    INTEGER,
    NUMBER,
    OBJECT,
    SECONDS,
    TEXT,
    Schema,
    Shape,
    either,
    event,
    many,
    maybe,
    noted,
    ref,
    sized,
    struct,
    within,
    words,
)


def schemas() -> dict[str, Schema]:
    """The schemas, by their names in the document."""
    images: Mapping[str, Schema] = {
        "model": ref("Alias"),
        "n?": within(INTEGER, 1, 4),
        "size?": TEXT,
        "response_format?": words("url", "b64_json"),
        "user?": TEXT,
    }
    drawn: Mapping[str, Schema] = {
        "prompt": sized(),
        **images,
        "stream?": FLAG,
        "partial_images?": within(INTEGER, 0, 3),
        "quality?": TEXT,
        "background?": TEXT,
    }
    audio: Mapping[str, Schema] = {
        "file": noted(BINARY, "The recording."),
        "model": ref("Alias"),
        "prompt?": TEXT,
        "response_format?": words("json", "text", "srt", "verbose_json", "vtt"),
        "temperature?": within(NUMBER, 0, 1),
    }
    return {
        "TranscriptionForm": struct({**audio, "language?": TEXT, "stream?": FLAG}),
        "TranslationForm": struct(audio),
        "Transcript": struct(
            {
                "text": TEXT,
                "usage?": OBJECT,
                "language?": TEXT,
                "duration?": either(NUMBER, TEXT),
                "segments?": many(OBJECT),
                "words?": many(OBJECT),
            }
        ),
        "TranscriptEvent": struct(
            {
                "type": words("transcript.text.delta", "transcript.text.segment", "transcript.text.done"),
                "delta?": TEXT,
                "text?": TEXT,
                "usage?": OBJECT,
            }
        ),
        "SpeechRequest": struct(
            {
                "model": ref("Alias"),
                "input": sized(1, 4096),
                "voice?": either(TEXT, struct({"id": TEXT})),
                "response_format?": words("mp3", "wav", "pcm"),
                "stream_format?": words("audio", "sse"),
                "speed?": within(NUMBER, 0.25, 4),
                "instructions?": TEXT,
            }
        ),
        "SpeechEvent": struct(
            {"type": words("speech.audio.delta", "speech.audio.done"), "audio?": TEXT, "usage?": OBJECT}
        ),
        "ImageRequest": struct(drawn),
        "ImageEditRequest": struct(
            {**drawn, "images": many(struct({"image_url?": TEXT, "file_id?": TEXT}), 1), "mask?": OBJECT}
        ),
        "ImageEditForm": struct({**drawn, "image": BINARY, "mask?": BINARY}),
        "ImageVariationForm": struct({**images, "image": BINARY}),
        "Images": struct(
            {
                "created": SECONDS,
                "data": many(struct({"url?": maybe(TEXT), "b64_json?": maybe(TEXT), "revised_prompt?": maybe(TEXT)})),
                "usage?": maybe(OBJECT),
            }
        ),
        "SentTranscript": event("TranscriptEvent", "Error", end="[DONE]"),
        "SentSpeech": event("SpeechEvent", "Error", about="Its audio is in base64.", end="[DONE]"),
        "SentImage": event("ImageEvent", "Error"),
        "ImageEvent": struct({"type": TEXT, "b64_json": TEXT, "partial_image_index?": COUNT, "usage?": OBJECT}),
    }


_RECORDING: Final = {"file": "recording.wav"}

SHAPES: Final[Mapping[str, Shape]] = {
    "POST /v1/audio/transcriptions": Shape(
        "createTranscription", "TranscriptionForm", "Transcript", _RECORDING, "SentTranscript"
    ),
    "POST /v1/audio/translations": Shape(
        "createTranslation", "TranslationForm", "Transcript", _RECORDING, "SentTranscript"
    ),
    "POST /v1/audio/speech": Shape(
        "createSpeech", "SpeechRequest", "", {"input": "Hello.", "voice": "alloy"}, "SentSpeech"
    ),
    "POST /v1/audio/speech/stream": Shape(
        "streamSpeech", "SpeechRequest", "", {"input": "Hello.", "voice": "alloy"}, "SentSpeech"
    ),
    "POST /v1/images/generations": Shape(
        "createImage", "ImageRequest", "Images", {"prompt": "A red square."}, "SentImage"
    ),
    "POST /v1/images/edits": Shape(
        "createImageEdit",
        "ImageEditRequest",
        "Images",
        {"prompt": "Make it blue.", "images": [{"image_url": "data:image/png;base64,iVBORw0KGgo="}]},
        "SentImage",
    ),
    "POST /v1/images/variations": Shape("createImageVariation", "ImageVariationForm", "Images", {"image": "image.png"}),
}
