"""The settings of a section with their help texts, which are the doc comments (`#:`) of the tree.

The comments are read from the source of the tree, so that a setting and its help stand in one place. Where the source
was left out of an installation the texts are empty; nothing else is lost.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from inspect import getdoc, getsource

import msgspec
from msgspec import inspect

from proxy.config.kinds import describe


class Setting(msgspec.Struct, frozen=True):
    """One setting of a section, in words."""

    name: str
    #: What it may hold.
    kind: str
    #: As it would be written in the file; None when there is none or the setting is required.
    default: str | None
    required: bool
    help: str


def settings(section: type[msgspec.Struct]) -> Iterator[Setting]:
    """Give the settings of a section in the order of the tree."""
    info = inspect.type_info(section)
    assert isinstance(info, inspect.StructType)
    texts = help_texts(section)
    for field in info.fields:
        value = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            # An empty one is what is meant where the reference says nothing.
            value = field.default_factory() or None
        default = None if value in (msgspec.NODEFAULT, None) else toml_value(value)
        yield Setting(field.name, describe(field.type), default, field.required, texts.get(field.name, ""))


def help_texts(section: type[msgspec.Struct]) -> Mapping[str, str]:
    """Give the doc comment of each field of a section."""
    texts: dict[str, str] = {}
    comment: list[str] = []
    for line in _lines(section):
        if line.startswith("    #: "):
            comment.append(line[7:].strip())
        elif (field := re.match(r"    (\w+):", line)) and comment:
            texts[field[1]] = " ".join(comment)
            comment = []
    return texts


def _lines(section: type[msgspec.Struct]) -> Iterator[str]:
    """The source of a section, behind that of the sections that it extends."""
    for part in reversed(section.__mro__):
        if issubclass(part, msgspec.Struct) and part.__struct_fields__:
            try:
                yield from textwrap.dedent(getsource(part)).splitlines()
            except (OSError, TypeError):
                continue


def section_help(section: type[msgspec.Struct]) -> str:
    """Give a section's docstring."""
    return getdoc(section) or ""


def toml_value(value: object) -> str:
    """Write a string, number, boolean or list of strings as TOML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, int | float):
        return str(value)
    return toml_string(str(value))


def toml_string(text: str) -> str:
    """Write a basic string (https://toml.io/en/v1.0.0#string)."""
    escaped = "".join(c if c.isprintable() and c not in '"\\' else _escape(c) for c in text)
    return f'"{escaped}"'


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
