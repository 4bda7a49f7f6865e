"""The settings of a section with their help texts, which are the doc comments (`#:`) of the tree.

The comments are read from the source of the tree, so that a setting and its help are in one place. In an installation
without sources the texts are empty.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from inspect import getsource

import msgspec
from msgspec import inspect

from proxy.config.descriptions import describe
from proxy.config.toml_format import toml_value


class Setting(msgspec.Struct, frozen=True):
    """The description of one setting."""

    name: str
    #: The values that it may have.
    kind: str
    #: As it is written in TOML; None when there is none or the setting is required.
    default: str | None
    required: bool
    help: str


def settings(section: type[msgspec.Struct]) -> Iterator[Setting]:
    """The settings of a section in the order of the tree."""
    info = inspect.type_info(section)
    assert isinstance(info, inspect.StructType)
    texts = help_texts(section)
    for field in info.fields:
        value = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            # The reference does not mention empty defaults.
            value = field.default_factory() or None
        default = None if value in (msgspec.NODEFAULT, None) else toml_value(value)
        yield Setting(field.name, describe(field.type), default, field.required, texts.get(field.name, ""))


def help_texts(section: type[msgspec.Struct]) -> Mapping[str, str]:
    """The doc comment of each field of a section."""
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
    """The source lines of a section, after those of its base sections."""
    for part in reversed(section.__mro__):
        if issubclass(part, msgspec.Struct) and part.__struct_fields__:
            try:
                yield from textwrap.dedent(getsource(part)).splitlines()
            except (OSError, TypeError):
                continue
