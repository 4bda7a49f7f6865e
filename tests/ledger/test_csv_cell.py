"""Cells of CSV files are inert in a spreadsheet."""

import pytest

from proxy.ledger.csv_cell import inert


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "  =1", "\r=1", "\n=1", "＝1", "|cmd", "%0A=1", "-", "\tx"),
        *("\u00a0=1", "\u200b=1", "\ufeff=1", "\0=1", " \u2028=1", "-1.2.3", "-1e5", "-٣"),
    ],
)
def test_a_text_that_begins_as_a_formula_is_marked(text: str) -> None:
    assert inert(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-1.25", "0.5", "web-app", 5, -5, "a=b", ""])
def test_other_values_stay(value: object) -> None:
    assert inert(value) == value


def test_what_is_not_known_is_empty() -> None:
    assert inert(None) == ""
