"""The request body: looked at once, and put together again with another model name.

Top-level values are kept raw and written back as they came, so nested bytes survive and a repeated key cannot carry a
second model past the key's rights. Bytes in, bytes out; nothing here knows aliases, keys or upstreams.
"""

import re
from typing import Final

import msgspec

from proxy.errors import InvalidRequest
from proxy.wire.scan import nesting_exceeds
from proxy.wire.shapes import Body

MAX_DEPTH: Final = 64
#: Objects and lists a body may open: this many, or one for every 16 bytes of a large body.
MAX_BRACKETS: Final = 20_000

_TRUE: Final = msgspec.Raw(b"true")
_FALSE: Final = msgspec.Raw(b"false")
_NULL: Final = msgspec.Raw(b"null")
_USAGE_ONLY: Final = msgspec.Raw(b'{"include_usage":true}')
_POSITION = re.compile(r"\(byte (\d+)\)")
_HALF_PAIR = re.compile(rb"(?<!\\)(?:\\\\)*+(\\u[dD][89abAB][0-9a-fA-F]{2})(?!\\u[dD][c-fC-F])")
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_encoder = msgspec.json.Encoder()
_string = msgspec.json.Decoder(str)


def peek(data: bytes, named: str = "") -> Body:
    """Look at a JSON body that holds its model; one that the path has `named` takes that one's place.

    Raises `InvalidRequest`, with the byte position where it can be told, when it is no JSON object, nests too deep, is
    not UTF-8, or `model` or `stream` are not what they must be.
    """
    fields = decode_object(data)
    if named:
        fields["model"] = msgspec.Raw(_encoder.encode(named))
    model = named or _model(fields.get("model"))
    stream = _boolean(fields.get("stream"), "stream")
    wants_usage = False
    options = fields.get("stream_options")
    if stream and options is not None and options != _NULL:
        wants_usage = _boolean(_object(options, "stream_options").get("include_usage"), "stream_options.include_usage")
    return Body(fields, model, stream, wants_usage, data=data)


def peek_without_model(data: bytes, model: str, stream: bool) -> Body:
    """Look at a JSON body whose model, and whether it streams, are told by the path. Raises `InvalidRequest`."""
    return Body(decode_object(data), model, stream, wants_usage=True, holds_model=False, data=data)


def decode_object(data: bytes) -> dict[str, msgspec.Raw]:
    """Decode a JSON object into raw values, behind the bounds; raises `InvalidRequest`."""
    if not data:
        raise InvalidRequest("The request body is empty. Send a JSON object with at least a 'model'.")
    if nesting_exceeds(data, MAX_DEPTH, max(MAX_BRACKETS, len(data) // 16)):
        raise InvalidRequest(f"The request body nests deeper than {MAX_DEPTH} levels or holds too many objects.")
    try:
        if not data.isascii():
            data.decode()
        return _decoder.decode(data)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The request body is not valid UTF-8 (byte {error.start}).") from error
    except msgspec.ValidationError as error:
        raise InvalidRequest("The request body must be a JSON object.") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"The request body is not valid JSON: {_reason(error, data)}.") from error


def splice(body: Body, model: str, include_usage: bool) -> bytes:
    """Put a body together again with another model name, and, if asked, with `stream_options.include_usage` set."""
    fields = dict(body.fields)
    if body.holds_model:
        fields["model"] = msgspec.Raw(_encoder.encode(model))
    else:
        _repeat(fields, msgspec.Raw(_encoder.encode(f"models/{model}")))
    if include_usage:
        options = fields.get("stream_options")
        if options is None or options == _NULL:
            fields["stream_options"] = _USAGE_ONLY
        else:
            merged = _object(options, "stream_options")
            merged["include_usage"] = _TRUE
            fields["stream_options"] = msgspec.Raw(_encoder.encode(merged))
    return _encoder.encode(fields)


def forgotten(body: Body) -> Body:
    """What is still known of a body that will not be sent again: a long stream must not hold on to a long prompt."""
    return Body({}, body.model, body.stream, body.wants_usage, body.holds_model)


def _repeat(fields: dict[str, msgspec.Raw], model: msgspec.Raw) -> None:
    """Write the model where a body of Gemini's repeats that of its path, which must be the same."""
    if bytes(fields.get("model", b"")).startswith(b'"'):
        fields["model"] = model
    inner = fields.get("generateContentRequest")
    if inner is not None:
        fields["generateContentRequest"] = _repeated(inner, model)
    requests = bytes(fields.get("requests", b""))
    if requests.startswith(b"["):
        fields["requests"] = msgspec.Raw(_encoder.encode([_repeated(one, model) for one in _list.decode(requests)]))


def _repeated(raw: msgspec.Raw, model: msgspec.Raw) -> msgspec.Raw:
    if not bytes(raw).startswith(b"{"):
        return raw
    fields = _decoder.decode(raw)
    if not bytes(fields.get("model", b"")).startswith(b'"'):
        return raw
    return msgspec.Raw(_encoder.encode(fields | {"model": model}))


def _model(raw: msgspec.Raw | None) -> str:
    if raw is None:
        raise InvalidRequest("You must provide a model parameter.", param="model")
    try:
        model = _string.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest("The model must be a string.", param="model") from error
    if not model:
        raise InvalidRequest("You must provide a model parameter; it is empty.", param="model")
    return model


def _boolean(raw: msgspec.Raw | None, name: str) -> bool:
    if raw is None or raw in (_FALSE, _NULL):
        return False
    if raw == _TRUE:
        return True
    raise InvalidRequest(f"'{name}' must be true or false.", param=name, code="invalid_type")


def _object(raw: msgspec.Raw, name: str) -> dict[str, msgspec.Raw]:
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"'{name}' must be an object.", param=name, code="invalid_type") from error


def _reason(error: Exception, data: bytes) -> str:
    text = str(error)
    position = _POSITION.search(text)
    if position:
        what = text.removeprefix("JSON is malformed: ").split(" (byte")[0]
        return f"{what} at byte {position.group(1)}"
    half = _HALF_PAIR.search(data)
    if half:
        # The parser takes the end of the string, where the other half should stand, for the end of the text.
        return f"half a surrogate pair at byte {half.start(1)}"
    return f"it ends too early, at byte {len(data)}"
