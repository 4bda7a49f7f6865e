"""Says in words how to mend what msgspec refused: which fields there are, and which values one may have. Pure."""

import re

import msgspec
from msgspec import inspect

from proxy.config.descriptions import describe
from proxy.config.problems import did_you_mean


def explain(error: msgspec.ValidationError, kind: object) -> tuple[str, str]:
    """The message of a refused value of a type, without the place; and the place, such as `budgets[0].limit`."""
    message, _, end = str(error).partition(" - at `")
    place = end.partition("`")[0].removeprefix("$").lstrip(".")
    found = _at(inspect.type_info(kind), place)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message, re.DOTALL)
    if unknown and isinstance(found, inspect.StructType):
        return f'no field is named "{unknown[1]}" ({did_you_mean(unknown[1], _fields(found)) or "it has none"})', place
    if message.startswith("Invalid enum value") and isinstance(found, inspect.LiteralType):
        return f"must be {describe(found)}", place
    return message, place


def _fields(kind: inspect.StructType) -> list[str]:
    return [field.encode_name for field in kind.fields]


def _at(kind: inspect.Type, place: str) -> inspect.Type | None:
    """The type at a place; None where that is not known."""
    found: inspect.Type | None = _value(kind)
    for name in re.findall(r"\[[^\]]*\]|[^.\[]+", place):
        if isinstance(found, inspect.StructType):
            found = next((field.type for field in found.fields if field.encode_name == name), None)
        elif isinstance(found, inspect.DictType):
            found = found.value_type
        elif isinstance(found, inspect.CollectionType):
            found = found.item_type
        else:
            return None
        found = None if found is None else _value(found)
    return found


def _value(kind: inspect.Type) -> inspect.Type:
    """The type itself of one that may be left out or null."""
    if isinstance(kind, inspect.Metadata):
        return _value(kind.type)
    if not isinstance(kind, inspect.UnionType):
        return kind
    parts = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
    return _value(parts[0]) if len(parts) == 1 else kind
