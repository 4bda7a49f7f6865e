"""Checks the types of a parsed TOML document against the tree of settings, and removes values that do not fit.

All faults are reported, not only the first, and the rest can be validated further. It reads and resolves nothing.
"""

import re
from collections.abc import Callable
from typing import Any, Final, TypeGuard

import msgspec
from msgspec import inspect

from proxy.config.descriptions import describe, describe_value, without_none
from proxy.config.problems import did_you_mean
from proxy.config.toml_positions import Path

#: Reports a fault: its path, what is wrong, how to fix it.
Report = Callable[[Path, str, str], None]

_INVALID: Final = object()


def prune(kind: type[msgspec.Struct], document: dict[str, Any], report: Report) -> dict[str, Any]:
    """Return the part of `document` whose keys and types are those of `kind`; `report` the rest."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return _section(info, document, (), report)


def _value(kind: inspect.Type, raw: object, path: Path, report: Report) -> object:
    kind = without_none(kind)
    if isinstance(kind, inspect.StructType | inspect.DictType):
        if not isinstance(raw, dict):
            report(path, f"must be {describe(kind)}, not {describe_value(raw)}", "")
            return _INVALID
        if isinstance(kind, inspect.StructType):
            return _section(kind, raw, path, report)
        for name in [name for name in raw if not _is_name(kind, name)]:
            report((*path, name), "no such table", did_you_mean(name, map(str, _names(kind))))
        items = [(name, item) for name, item in raw.items() if _is_name(kind, name)]
        return _valid_items({name: _value(kind.value_type, item, (*path, name), report) for name, item in items})
    if isinstance(kind, inspect.ListType):
        if not isinstance(raw, list):
            report(path, f"must be an array, not {describe_value(raw)}", "put [ ] around it")
            return _INVALID
        for index, item in enumerate(raw):
            _value(kind.item_type, item, (*path, index), report)
        # Invalid items stay, so that the items after them keep their index.
        return raw
    return _leaf(kind, raw, path, report)


def _section(kind: inspect.StructType, raw: dict[str, Any], path: Path, report: Report) -> dict[str, Any]:
    fields = {field.encode_name: field for field in kind.fields}
    for name in raw.keys() - fields.keys():
        report((*path, name), "no such key", did_you_mean(name, fields))
    for name, field in fields.items():
        if field.required and name not in raw:
            report(path, f'the key "{name}" is missing', f"{name} is {describe(field.type)}")
    known = [(name, raw[name]) for name in raw if name in fields]
    return _valid_items({name: _value(fields[name].type, item, (*path, name), report) for name, item in known})


def _names(kind: inspect.DictType) -> tuple[object, ...]:
    """The only names that a table may have; empty where it may have any."""
    return tuple(kind.key_type.values) if isinstance(kind.key_type, inspect.LiteralType) else ()


def _is_name(kind: inspect.DictType, name: str) -> bool:
    return name in (_names(kind) or (name,))


def _valid_items(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not _INVALID}


def _leaf(kind: inspect.Type, raw: object, path: Path, report: Report) -> object:
    if isinstance(kind, inspect.LiteralType):
        if raw in kind.values:
            return raw
        hint = did_you_mean(raw, map(str, kind.values)) if isinstance(raw, str) else ""
        report(path, f"must be {describe(kind)}", hint)
        return _INVALID
    if isinstance(kind, inspect.DecimalType):
        # Its text is validated later: a TOML float has already lost its exact value.
        if isinstance(raw, str):
            return raw
        number = isinstance(raw, int | float) and not isinstance(raw, bool)
        report(path, f"must be {describe(kind)}", "put quotes around it, so that it stays exact" if number else "")
        return _INVALID
    if _fits(kind, raw):
        return raw
    what = "" if _is_number(raw, kind) else f", not {describe_value(raw)}"
    report(path, f"must be {describe(kind)}{what}", "leave out the quotes" if _quoted(kind, raw) else "")
    return _INVALID


def _fits(kind: inspect.Type, raw: object) -> bool:
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _is_number(raw, kind) and _in_range(kind, raw)
    return isinstance(raw, bool if isinstance(kind, inspect.BoolType) else str)


def _is_number(raw: object, kind: inspect.Type) -> TypeGuard[int | float]:
    if isinstance(raw, bool) or not isinstance(kind, inspect.IntType | inspect.FloatType):
        return False
    return isinstance(raw, int if isinstance(kind, inspect.IntType) else int | float)


def _in_range(kind: inspect.IntType | inspect.FloatType, raw: int | float) -> bool:
    # Written so that NaN, which compares false with everything, is outside; infinity is beyond any upper bound.
    low = (kind.ge is None or raw >= kind.ge) and (kind.gt is None or raw > kind.gt)
    return low and (kind.le is None or raw <= kind.le)


def _quoted(kind: inspect.Type, raw: object) -> bool:
    """Whether a number or boolean is written as a string."""
    if not isinstance(raw, str):
        return False
    if isinstance(kind, inspect.BoolType):
        return raw in ("true", "false")
    return re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", raw) is not None
