"""How an upstream's objects are shown: the alias for the model's name, and no name, id or host of the upstream.

Bytes in, bytes out; what is not named here stays as it came.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.errors import InvalidRequest, UpstreamProtocolError
from proxy.wire.json_repair import repaired
from proxy.wire.json_scan import spans
from proxy.wire.request_body import decode_object, items_of

_encoder = msgspec.json.Encoder()
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])
#: Where the models of an object stand.
_MODEL: Final = ("model",)
#: A fine-tuned model's name: ft:MODEL:ACCOUNT:SUFFIX:ID.
_TUNED: Final = re.compile(rb"ft:[A-Za-z0-9_./-]+:[A-Za-z0-9_.-]*:([A-Za-z0-9_.-]*):([A-Za-z0-9_.-]+)")
_ACCOUNT: Final = re.compile(rb"\b(?:org-|proj_)[A-Za-z0-9]{8,}")
_BOM: Final = b"\xef\xbb\xbf"
#: Parts of an object that hold what a client wrote.
_PRIVATE: Final = frozenset({"metadata", "instructions", "parameters", "schema"})


def fields_of(data: bytes) -> dict[str, msgspec.Raw]:
    """The fields of an answer, as they came: half surrogate pairs, `NaN` and a byte order mark too.

    Raises `UpstreamProtocolError` when it is no JSON object.
    """
    try:
        return _object.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            return decode_object(data.removeprefix(_BOM))
        except InvalidRequest as error:
            raise UpstreamProtocolError("The provider's answer could not be read.", detail="no JSON object") from error


def elements_of(raw: msgspec.Raw) -> list[bytes]:
    """The elements of a list. Raises `UpstreamProtocolError` when it is none."""
    try:
        return [bytes(element) for element in _array.decode(raw)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:
            elements = items_of(bytes(raw))
        except InvalidRequest:
            elements = []
        if not elements:
            raise UpstreamProtocolError("The provider's answer could not be read.", detail="no JSON list") from error
        return [bytes(element) for element in elements]


def text_of(fields: dict[str, msgspec.Raw], name: str) -> str:
    """A field that is a text, else ""."""
    raw = fields.get(name)
    if raw is None or not bytes(raw).startswith(b'"'):
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def model_of(data: bytes) -> str:
    """What an object calls its model, or ""."""
    return text_of(fields_of(data), "model") if b'"model"' in data else ""


def with_alias(data: bytes, alias: str, path: tuple[str, ...] = _MODEL) -> bytes:
    """An object with the alias for the model's name at a path, everything else as it came."""
    found = [(begin, end) for begin, end in spans(data, path) if end - begin > 2]
    if not found:
        return data
    replacement = _encoder.encode(alias)
    out: list[bytes] = []
    position = 0
    for begin, end in found:
        out += (data[position:begin], replacement)
        position = end
    return b"".join([*out, data[position:]])


def with_elements(data: bytes, fields: dict[str, msgspec.Raw], elements: list[bytes]) -> bytes:
    """A list answer with other elements; as it came where they are the same."""
    if elements == elements_of(fields["data"]):
        return data
    return _encoder.encode({**fields, "data": [msgspec.Raw(element) for element in elements]})


def scrubbed(data: bytes, model: str, alias: str) -> bytes:
    """A text without the names that a fine-tuning job's words have of the model and of the account."""
    data = _TUNED.sub(lambda match: b"ft:%b::%b:%b" % (alias.encode(), match[1], match[2]), data)
    data = _ACCOUNT.sub(b"***", data)
    return data.replace(model.encode(), alias.encode()) if model else data


def named_in(data: bytes, names: frozenset[str]) -> list[str]:
    """The ids that stand under any of these keys, anywhere but in what the client wrote."""
    if not any(name.encode() in data for name in names):
        return []
    try:
        return list(dict.fromkeys(_walk(msgspec.json.decode(repaired(data)), names)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _walk(value: Any, names: frozenset[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in names:
                yield from (one for one in (inner if isinstance(inner, list) else [inner]) if isinstance(one, str))
            if key not in _PRIVATE:
                yield from _walk(inner, names)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, names)
