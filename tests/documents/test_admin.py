"""The page of the admin API: what stands in it is what a running gateway responds now."""

from pathlib import Path

from proxy.admin.table import ROWS
from tests.documents.admin import EXAMPLES, document, row_of

PAGE = Path(__file__).parents[2] / "docs" / "admin.md"


def test_the_page_is_what_a_running_gateway_responds() -> None:
    assert PAGE.read_text("utf-8") == document(), "run `make docs`"


def test_every_row_has_an_example() -> None:
    assert {(row.method, row.path) for row in map(row_of, EXAMPLES)} == {(row.method, row.path) for row in ROWS}
