"""The table of pages."""

from proxy.pages.table import PAGES


def test_no_two_rows_have_the_same_method_and_path() -> None:
    rows = [(page.method, page.path) for page in PAGES]
    assert len(set(rows)) == len(rows)
