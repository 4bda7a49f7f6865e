"""Describes the type of a setting in words, for messages and for the reference. Pure: types in, text out."""

from msgspec import inspect

_NAMES = {"str": "a string", "bool": "true or false", "int": "an integer", "float": "a number", "dict": "a table"}


def without_none(kind: inspect.Type) -> inspect.Type:
    """The type of an optional setting without None: TOML has no null."""
    if isinstance(kind, inspect.UnionType):
        (kind,) = (part for part in kind.types if not isinstance(part, inspect.NoneType))
    return kind


def describe(kind: inspect.Type) -> str:
    """Describe the allowed values, such as "an integer from 0 to 65535"."""
    kind = without_none(kind)
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(f'"{value}"' for value in kind.values)
    if isinstance(kind, inspect.DecimalType):
        return 'a decimal number in quotes, such as "1.10"'
    if isinstance(kind, inspect.ListType):
        return "an array, each of it " + describe(kind.item_type)
    if isinstance(kind, inspect.DictType) and isinstance(kind.value_type, inspect.StrType):
        return "a table of strings"
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return ("an integer" if isinstance(kind, inspect.IntType) else "a number") + _range(kind)
    if isinstance(kind, inspect.StrType):
        return "a string"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    return "a table"


def describe_value(value: object) -> str:
    """Describe the type of a value without quoting it: it may be secret."""
    if isinstance(value, list):
        return "an array"
    return _NAMES.get(type(value).__name__, "a date or time")


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    high = "" if kind.le is None else f"{kind.le:.15g}"
    if kind.gt is not None:
        return f" over {kind.gt:.15g}" + (f", at most {high}" if high else "")
    if kind.ge is not None:
        return f" from {kind.ge:.15g}" + (f" to {high}" if high else "")
    return ""
