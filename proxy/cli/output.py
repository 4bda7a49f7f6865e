"""How results are printed: aligned tables for people, JSON for programs, exact money, UTC times.

Data goes to stdout and talk to stderr. Nothing is coloured.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import click

_NANO = 1_000_000_000


def data(text: str) -> None:
    """Print a line of the result on stdout."""
    click.echo(text)


def talk(text: str) -> None:
    """Print a line about the result on stderr."""
    click.echo(text, err=True)


def print_json(value: object) -> None:
    """Print a value of plain types as one JSON document."""
    data(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns side by side; those that hold only numbers stand to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    right = [bool(rows) and all(isinstance(row[place], int) for row in rows) for place in range(len(headings))]
    widths = [max([len(heading), *(len(row[place]) for row in cells)]) for place, heading in enumerate(headings)]
    for row in ([heading.upper() for heading in headings], *cells):
        aligned = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ]
        data("  ".join(aligned).rstrip())


def _cell(value: object) -> str:
    """A cell is one line and sends no control characters to the terminal, whoever wrote its text."""
    text = "-" if value is None or value == "" else str(value)
    return "".join(character if character.isprintable() else "?" for character in text)


def usd(nano: int | None) -> str:
    """Write nano-dollars as USD, exactly, with 2 to 9 decimals; None is "unpriced"."""
    if nano is None:
        return "unpriced"
    whole, rest = divmod(abs(nano), _NANO)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{whole}.{decimals}"


def utc(microseconds: int | None) -> str:
    """Write microseconds since 1970 as a UTC time in seconds; nothing for None."""
    if microseconds is None:
        return ""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
