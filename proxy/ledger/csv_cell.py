"""Cells of CSV files: inert in a spreadsheet, also where a client has chosen their text."""

from typing import Final

#: With any of these in front, spreadsheets take a text for a formula; some skip what is not seen before it.
_FORMULA: Final = ("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def inert(value: object) -> object:
    """A value as a cell: a text that begins as a formula does is marked as text by an apostrophe."""
    if not isinstance(value, str):
        return "" if value is None else value
    text = value.lstrip(" ")
    is_formula = text.startswith(_FORMULA) or not text[:1].isprintable()
    return f"'{value}" if is_formula and not _is_number(value) else value


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-").replace(".", "", 1)
    return digits.isascii() and digits.isdecimal()
