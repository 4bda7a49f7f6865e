"""Generates the JSON Schema of the configuration file, for editors, from the tree and its doc comments (`#:`).

The comments are read from the source of the tree, so that a setting and its help are in one place. In an installation
without sources the texts are empty.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from inspect import getsource
from typing import Any

import msgspec

from proxy.config.tree import (
    Admin,
    Budget,
    Config,
    Fallbacks,
    Hedge,
    Limits,
    Metrics,
    Model,
    Otel,
    Price,
    Queue,
    Routing,
    Section,
    Server,
    TierPrice,
    Upstream,
    Webhooks,
)

SECTIONS: tuple[type[Section], ...] = (
    Server,
    Upstream,
    Model,
    Routing,
    Hedge,
    Queue,
    Fallbacks,
    Price,
    TierPrice,
    Limits,
    Budget,
    Webhooks,
    Metrics,
    Admin,
    Otel,
)


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, with the help texts of all settings."""
    document: dict[str, Any] = msgspec.json.schema(Config)
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "Prometheus Gateway configuration"
    for section in SECTIONS:
        properties = document["$defs"][section.__name__]["properties"]
        for name, text in help_texts(section).items():
            properties[name]["description"] = text
    return document


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
