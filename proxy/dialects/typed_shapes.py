"""What is read of OpenAI's typed events and of answers of audio and images, as shapes for the decoder."""

from typing import Final

import msgspec

from proxy.dialects.meters import EMPTY


class Response(msgspec.Struct, gc=False):
    model: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY
    service_tier: msgspec.Raw = EMPTY
    output: msgspec.Raw = EMPTY


class Event(msgspec.Struct, gc=False):
    type: str = ""
    response: Response | None = None
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY
    delta: msgspec.Raw = EMPTY


class MediaEvent(msgspec.Struct, gc=False):
    type: str = ""
    model: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY
    delta: msgspec.Raw = EMPTY


class Media(msgspec.Struct, gc=False):
    """A whole answer of audio, images or transcripts: only what the gateway reads."""

    model: msgspec.Raw = EMPTY
    usage: msgspec.Raw = EMPTY
    error: msgspec.Raw = EMPTY
    duration: msgspec.Raw = EMPTY
    data: msgspec.Raw = EMPTY


decode_event: Final = msgspec.json.Decoder(Event).decode
decode_media_event: Final = msgspec.json.Decoder(MediaEvent).decode
decode_media: Final = msgspec.json.Decoder(Media).decode
decode_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_number: Final = msgspec.json.Decoder(float).decode
