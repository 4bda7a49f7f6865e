"""Reads an answer whose fields are not of the types that they should be: what fits is read, the rest is as if missing.

One value of a wrong type must not hide the model, the usage, an error or the end beside it. Slow, and only used where
the decoder for the whole shape has refused.
"""

import types
import typing
from typing import Any, TypeVar

import msgspec

from proxy.dialects.meters import broken

T = TypeVar("T", bound=msgspec.Struct)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


def decode_lenient(shape: type[T], payload: bytes, error: Exception) -> T:
    """The fields of an object that are of the right types, as the shape; `error` is why its own decoder refused it.

    Raises `UpstreamProtocolError` where the payload is no JSON object.
    """
    if not isinstance(error, msgspec.ValidationError):
        raise broken(error) from error
    found = _object(shape, payload)
    if found is None:
        raise broken(error) from error
    return found


def _object(shape: type[T], raw: bytes | msgspec.Raw) -> T | None:
    try:
        given = _fields.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(shape):
        value = given.get(field.encode_name)
        if value is not None:
            fitting = _value(field.type, value)
            if fitting is not None:
                values[field.name] = fitting
    return shape(**values)


def _value(kind: Any, raw: msgspec.Raw) -> Any:
    """The value as this type, as far as it fits; None where nothing of it does."""
    if kind is msgspec.Raw:
        return raw.copy()
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    for one in typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,):
        if typing.get_origin(one) is list:
            return _list(typing.get_args(one)[0], raw)
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return _object(one, raw)
    return None


def _list(kind: Any, raw: msgspec.Raw) -> list[Any] | None:
    try:
        items = _items.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return [value for value in (_value(kind, item) for item in items) if value is not None]
