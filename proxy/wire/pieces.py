"""A large body with another model name, as pieces that are sent one behind the other: nothing of it is copied.

Only where it is certain that putting the body together from its fields (`body.render_body`) would give the same bytes.
"""

from typing import Final

import msgspec

from proxy.wire.request_body import render_body
from proxy.wire.schemas import Body

#: Bytes from which on it is worth it.
LARGE: Final = 16_384
_USAGE: Final = b',"stream_options":{"include_usage":true}}'
_encoder = msgspec.json.Encoder()


def pieces(body: Body, model: str, include_usage: bool) -> list[bytes | memoryview]:
    """The body in its pieces; a single one where it had to be put together."""
    place = _model_place(body) if body.holds_model else None
    if place is None or (include_usage and "stream_options" in body.fields):
        return [render_body(body, model, include_usage)]
    start, end = place
    view = memoryview(body.data)
    name = _encoder.encode(model)
    if include_usage:
        return [view[:start], name, view[end:-1], _USAGE]
    return [view[:start], name, view[end:]]


def _model_place(body: Body) -> tuple[int, int] | None:
    """Where the model's value stands, or None where the body is written in any other way than `render_body` would.

    Each field takes at least its name, its value, two quotes, a colon and what stands behind it. So a text that is no
    longer than all of that has no space between them, no name written with escapes, and above all no name twice.
    """
    start = end = 0
    position = 1
    for name, raw in body.fields.items():
        if not (name.isascii() and name.isidentifier()):
            return None
        position += len(name) + 3
        if name == "model":
            start, end = position, position + len(raw)
        position += len(raw) + 1
    if position != len(body.data) or body.data[start:end] != bytes(body.fields["model"]):
        return None
    return start, end
