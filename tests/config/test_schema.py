"""The schema and the reference: made from the tree, complete, and the reference in docs/ is the current one."""

from pathlib import Path
from typing import Any

import pytest

from proxy.config.load import parse
from proxy.config.schema import reference, schema
from proxy.config.tree import Model, Price, Section, Server, Upstream

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "configuration.md"


def properties(section: type[Section]) -> dict[str, Any]:
    found: dict[str, Any] = schema()["$defs"][section.__name__]["properties"]
    return found


@pytest.mark.parametrize("section", [Server, Upstream, Model, Price])
def test_every_setting_is_described(section: type[Section]) -> None:
    assert [name for name, part in properties(section).items() if not part.get("description")] == []


def test_ranges_are_in_the_schema() -> None:
    port = properties(Server)["port"]
    assert (port["minimum"], port["maximum"], port["default"]) == (0, 65_535, 8080)


def test_unknown_keys_are_refused_by_the_schema_too() -> None:
    assert schema()["$defs"]["Server"]["additionalProperties"] is False


def test_the_example_of_the_reference_is_valid() -> None:
    text = reference().partition("```toml\n")[2].partition("```")[0]
    assert parse(text, Path("p.toml"), {"OPENAI_API_KEY": "sk"}).models["prometheus-core"].targets[0] == "openai/gpt-5"


def test_the_reference_in_the_documents_is_the_current_one() -> None:
    assert DOCUMENT.read_text() == reference(), "write docs/configuration.md again with proxy.config.schema.reference()"
