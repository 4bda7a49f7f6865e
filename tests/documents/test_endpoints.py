"""The document of endpoints: current in the documents, complete, and what it shows of errors is what a client gets."""

import re
from pathlib import Path

import pytest

from proxy.endpoints.table import ROWS, Row
from proxy.resources.spec import ResourceRow
from proxy.resources.table import RESOURCE_ROWS
from tests.documents.endpoints import document

DOCUMENT = Path(__file__).parents[2] / "docs" / "endpoints.md"
EVERY_ROW: tuple[Row | ResourceRow, ...] = (*ROWS, *RESOURCE_ROWS)


def lines_of(row: Row | ResourceRow) -> list[str]:
    return [line for line in document().splitlines() if line.startswith(f"| `{row.method} {row.path}` |")]


def test_the_document_is_the_current_one() -> None:
    assert DOCUMENT.read_text() == document(), "write docs/endpoints.md again with `make docs`"


@pytest.mark.parametrize("row", EVERY_ROW, ids=lambda row: f"{row.method} {row.path}")
def test_every_row_has_one_line_with_its_help(row: Row | ResourceRow) -> None:
    (line,) = lines_of(row)
    assert row.help in line


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.path))
def test_a_line_tells_body_model_answer_bill_and_capabilities(row: Row) -> None:
    (line,) = lines_of(row)
    cells = line.strip("| ").split(" | ")[2:]
    assert cells == [row.body, row.model, row.reply, row.unit, ", ".join(sorted(row.capabilities))]


def test_no_cell_breaks_its_table() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", document(), re.MULTILINE)
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


@pytest.mark.parametrize("mark", ['"type": "not_found_error"', '"status": "NOT_FOUND"', '"code": "model_not_found"'])
def test_each_dialects_error_is_shown(mark: str) -> None:
    assert mark in document()


def test_where_an_unknown_alias_has_another_status_is_told() -> None:
    assert "The status of an unknown alias is 400 at `/v1/responses`," in document()
