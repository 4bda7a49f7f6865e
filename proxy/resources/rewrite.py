"""Rewriting of resources as JSON: the alias in place of the model's name, and no name, id or host of the upstream.

Bytes in, bytes out; what is not named here stays byte for byte.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec

from proxy.errors import InvalidRequest, UpstreamProtocolError
from proxy.wire.json_repair import repaired
from proxy.wire.json_scan import spans
from proxy.wire.request_body import decode_object, items_of

T = TypeVar("T")
_encoder = msgspec.json.Encoder()
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])
_string = msgspec.json.Decoder(str)
_any = msgspec.json.Decoder()
#: The path of a resource's model.
_MODEL: Final = ("model",)
#: A fine-tuned model's name: ft:MODEL:ACCOUNT:SUFFIX:ID.
_TUNED: Final = re.compile(rb"ft:[A-Za-z0-9_./-]+:[A-Za-z0-9_.-]*:([A-Za-z0-9_.-]*):([A-Za-z0-9_.-]+)")
_ACCOUNT: Final = re.compile(rb"\b(?:org-|proj_)[A-Za-z0-9]{8,}")
_BOM: Final = b"\xef\xbb\xbf"
#: Parts of a resource that hold what a client wrote.
_PRIVATE: Final = frozenset({"metadata", "instructions", "parameters", "schema"})


def decoded(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T | None:
    """A JSON value; None where it is broken, nested too deeply or of another type."""
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fields_of(data: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a resource, byte for byte; lone surrogates, `NaN` and a byte order mark are taken too.

    Raises `UpstreamProtocolError` when it is no JSON object.
    """
    fields = decoded(_object, data)
    if fields is not None:
        return fields
    try:
        return decode_object(data.removeprefix(_BOM))
    except InvalidRequest as error:
        raise UpstreamProtocolError("The provider's answer could not be read.", detail="no JSON object") from error


def elements_of(raw: msgspec.Raw) -> list[bytes]:
    """The elements of a list. Raises `UpstreamProtocolError` when it is none."""
    elements = decoded(_array, raw)
    if elements is None:
        try:
            elements = items_of(bytes(raw))
        except InvalidRequest:
            elements = []
        if not elements:
            raise UpstreamProtocolError("The provider's answer could not be read.", detail="no JSON list")
    return [bytes(element) for element in elements]


def text_of(fields: dict[str, msgspec.Raw], name: str) -> str:
    """A field that is a string, else ""."""
    raw = fields.get(name)
    return "" if raw is None else decoded(_string, raw) or ""


def model_of(data: bytes) -> str:
    """The model of a resource, or ""."""
    return text_of(fields_of(data), "model") if b'"model"' in data else ""


def with_alias(data: bytes, alias: str, path: tuple[str, ...] = _MODEL) -> bytes:
    """A resource with the alias in place of the model's name at a path, all else byte for byte."""
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
    """A list with other elements; byte for byte where they are the same."""
    if elements == elements_of(fields["data"]):
        return data
    return _encoder.encode({**fields, "data": [msgspec.Raw(element) for element in elements]})


def scrubbed(data: bytes, model: str, alias: str) -> bytes:
    """A fine-tuning job without the names of the model and of the account in its texts."""
    data = _TUNED.sub(lambda match: b"ft:%b::%b:%b" % (alias.encode(), match[1], match[2]), data)
    data = _ACCOUNT.sub(b"***", data)
    return data.replace(model.encode(), alias.encode()) if model else data


def named_in(data: bytes, names: frozenset[str]) -> list[str]:
    """The ids under any of these names, anywhere but in what the client wrote."""
    if not any(name.encode() in data for name in names):
        return []
    return list(dict.fromkeys(_walk(decoded(_any, repaired(data)), names)))


def _walk(value: Any, names: frozenset[str]) -> Iterator[str]:
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in names:
                    yield from (one for one in (inner if isinstance(inner, list) else [inner]) if isinstance(one, str))
            stack += [inner for key, inner in value.items() if key not in _PRIVATE]
        elif isinstance(value, list):
            stack += value
