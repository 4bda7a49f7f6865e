"""Walks a parsed TOML document along the tree of settings and takes out whatever has the wrong type.

All faults are told, not only the first, and what is left can be checked further. No file is read, nothing is resolved.
"""

import re
from collections.abc import Callable
from typing import Any, Final, TypeGuard

import msgspec
from msgspec import inspect

from proxy.config.kinds import describe, describe_value, without_none
from proxy.config.problems import did_you_mean
from proxy.config.toml_positions import Path

#: Tells a fault: where, what is wrong, how to mend it.
Tell = Callable[[Path, str, str], None]

_WRONG: Final = object()


def prune(kind: type[msgspec.Struct], document: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Give the part of `document` whose keys and types are those of `kind`; `tell` about the rest."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return _section(info, document, (), tell)


def _value(kind: inspect.Type, raw: object, path: Path, tell: Tell) -> object:
    kind = without_none(kind)
    if isinstance(kind, inspect.StructType | inspect.DictType):
        if not isinstance(raw, dict):
            tell(path, f"must be {describe(kind)}, not {describe_value(raw)}", "")
            return _WRONG
        if isinstance(kind, inspect.StructType):
            return _section(kind, raw, path, tell)
        return _kept({name: _value(kind.value_type, item, (*path, name), tell) for name, item in raw.items()})
    if isinstance(kind, inspect.ListType):
        if not isinstance(raw, list):
            tell(path, f"must be an array, not {describe_value(raw)}", "put [ ] around it")
            return _WRONG
        for index, item in enumerate(raw):
            _value(kind.item_type, item, (*path, index), tell)
        # Wrong items keep their places, so that those after them keep their lines.
        return raw
    return _leaf(kind, raw, path, tell)


def _section(kind: inspect.StructType, raw: dict[str, Any], path: Path, tell: Tell) -> dict[str, Any]:
    fields = {field.encode_name: field for field in kind.fields}
    for name in raw.keys() - fields.keys():
        tell((*path, name), "no such key", did_you_mean(name, fields))
    for name, field in fields.items():
        if field.required and name not in raw:
            tell(path, f'the key "{name}" is missing', f"{name} is {describe(field.type)}")
    known = [(name, raw[name]) for name in raw if name in fields]
    return _kept({name: _value(fields[name].type, item, (*path, name), tell) for name, item in known})


def _kept(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not _WRONG}


def _leaf(kind: inspect.Type, raw: object, path: Path, tell: Tell) -> object:
    if isinstance(kind, inspect.LiteralType):
        if raw in kind.values:
            return raw
        hint = did_you_mean(raw, map(str, kind.values)) if isinstance(raw, str) else ""
        tell(path, f"must be {describe(kind)}", hint)
        return _WRONG
    if isinstance(kind, inspect.DecimalType):
        # Its text is judged later: a float in the file has already lost its exact value.
        if isinstance(raw, str):
            return raw
        number = isinstance(raw, int | float) and not isinstance(raw, bool)
        tell(path, f"must be {describe(kind)}", "put quotes around it, so that it stays exact" if number else "")
        return _WRONG
    if _fits(kind, raw):
        return raw
    what = "" if _is_number(raw, kind) else f", not {describe_value(raw)}"
    tell(path, f"must be {describe(kind)}{what}", "leave out the quotes" if _quoted(kind, raw) else "")
    return _WRONG


def _fits(kind: inspect.Type, raw: object) -> bool:
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _is_number(raw, kind) and _in_range(kind, raw)
    return isinstance(raw, bool if isinstance(kind, inspect.BoolType) else str)


def _is_number(raw: object, kind: inspect.Type) -> TypeGuard[int | float]:
    if isinstance(raw, bool) or not isinstance(kind, inspect.IntType | inspect.FloatType):
        return False
    return isinstance(raw, int if isinstance(kind, inspect.IntType) else int | float)


def _in_range(kind: inspect.IntType | inspect.FloatType, raw: int | float) -> bool:
    # Written so that NaN, which compares false with all, is outside; infinity is beyond any upper bound.
    low = (kind.ge is None or raw >= kind.ge) and (kind.gt is None or raw > kind.gt)
    return low and (kind.le is None or raw <= kind.le)


def _quoted(kind: inspect.Type, raw: object) -> bool:
    """Whether a number or a true/false was put into quotes."""
    if not isinstance(raw, str):
        return False
    if isinstance(kind, inspect.BoolType):
        return raw in ("true", "false")
    return re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", raw) is not None
