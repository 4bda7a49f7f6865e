"""The reference of the kinds: complete, current in the documents, and what it shows is valid."""

import re
from pathlib import Path

import pytest

from proxy.config.load import examine_text
from proxy.config.presets import PRESETS
from tests.documents.upstreams import reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "upstreams.md"


ENVIRONMENT = {f"{kind.upper()}_API_KEY": "value" for kind in PRESETS}


def test_the_reference_in_the_documents_is_the_current_one() -> None:
    assert DOCUMENT.read_text() == reference(), "write docs/upstreams.md again with `make docs`"


@pytest.mark.parametrize("kind", PRESETS)
def test_every_kind_has_a_section(kind: str) -> None:
    assert f"\n## `{kind}`: " in reference()


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", reference(), re.DOTALL))
def test_what_the_reference_shows_is_valid_and_not_suspicious(text: str) -> None:
    assert examine_text(text, Path("p.toml"), ENVIRONMENT).warnings == ()
