"""The schema: made from the tree and its doc comments, and complete."""

from typing import Any

import msgspec
import pytest

from proxy.config.schema import help_texts, schema
from proxy.config.tree import Hedge, Model, Price, Queue, Section, Server, Upstream


def properties(section: type[Section]) -> dict[str, Any]:
    found: dict[str, Any] = schema()["$defs"][section.__name__]["properties"]
    return found


@pytest.mark.parametrize("section", [Server, Upstream, Model, Hedge, Queue, Price])
def test_every_setting_is_described(section: type[Section]) -> None:
    assert [name for name, part in properties(section).items() if not part.get("description")] == []


def test_ranges_are_in_the_schema() -> None:
    port = properties(Server)["port"]
    assert (port["minimum"], port["maximum"], port["default"]) == (0, 65_535, 8080)


def test_unknown_keys_are_refused_by_the_schema_too() -> None:
    assert schema()["$defs"]["Server"]["additionalProperties"] is False


def test_a_comment_of_several_lines_is_one_text() -> None:
    class Section(msgspec.Struct):
        #: One
        #: and two.
        field: int
        bare: int

    assert help_texts(Section) == {"field": "One and two."}


def test_a_class_without_source_has_no_texts() -> None:
    assert help_texts(msgspec.defstruct("Made", ["field"])) == {}
