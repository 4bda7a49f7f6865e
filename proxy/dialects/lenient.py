"""Decodes a response whose fields are of other types than they should be: what fits is read, the rest is as if missing.

One value of a wrong type must not hide the model, the usage, an error or the end beside it. The lenient way is slow,
and only taken where the decoder for the whole schema has refused.
"""

import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from proxy.dialects.meters import invalid_json
from proxy.wire.schemas import DECODE_ERRORS

T = TypeVar("T", bound=msgspec.Struct)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


def decode(decoder: Callable[[bytes], T], schema: type[T], payload: bytes) -> T:
    """Decode an object by its schema's own decoder, and leniently where that refuses.

    Raises `UpstreamProtocolError` where the payload is no JSON object.
    """
    try:
        return decoder(payload)
    except DECODE_ERRORS as error:
        return decode_lenient(schema, payload, error)


def decode_lenient(schema: type[T], payload: bytes, error: Exception) -> T:
    """The fields of an object that are of the right types; `error` is why the schema's own decoder refused it.

    Raises `UpstreamProtocolError` where the payload is no JSON object.
    """
    if not isinstance(error, msgspec.ValidationError):
        raise invalid_json(error) from error
    found = _object(schema, payload)
    if found is None:
        raise invalid_json(error) from error
    return found


def _object(schema: type[T], raw: bytes | msgspec.Raw) -> T | None:
    try:
        given = _fields.decode(raw)
    except DECODE_ERRORS:
        return None
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(schema):
        value = given.get(field.encode_name)
        if value is not None:
            fitting = _value(field.type, value)
            if fitting is not None:
                values[field.name] = fitting
    return schema(**values)


def _value(kind: Any, raw: msgspec.Raw) -> Any:
    """The value as this type, as far as it fits; None where nothing of it does."""
    if kind is msgspec.Raw:
        return raw.copy()
    try:
        return msgspec.json.decode(raw, type=kind)
    except DECODE_ERRORS:
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
    except DECODE_ERRORS:
        return None
    return [value for value in (_value(kind, item) for item in items) if value is not None]
