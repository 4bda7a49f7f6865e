"""The reference of translations is what their tables say."""

from pathlib import Path

from tests.documents.translation import reference

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "translation.md"


def test_the_document_is_what_the_tables_say() -> None:
    assert DOCUMENT.read_text() == reference(), "write docs/translation.md again with `make docs`"
