"""Printing of results: aligned tables for people, JSON for programs, exact money, UTC times.

Results go to stdout and notes about them to stderr. Nothing is coloured. A table is as wide as the terminal, 80 columns
where there is none (COLUMNS says otherwise): what has no room is wrapped in its column, or left out and named.
"""

import json
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

import click

from proxy.observability.access_format import dollars

_GAP = "  "
#: What a cell is broken into: a word with the space before it, or a part of one that ends with a slash.
_PIECE = re.compile(r"\s*[^\s/]+/?|\s*/")
#: Bars of a trend, that of 0 first.
_BARS = "·▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.:-=+*#"
#: Cells without information.
_EMPTY = frozenset({"-", "0"})
#: Characters that a column of text keeps, however little room there is.
_MIN_WIDTH = 6


def print_line(text: str) -> None:
    """Print a line of the result on stdout."""
    click.echo(text)


def print_note(text: str) -> None:
    """Print a note about the result on stderr."""
    click.echo(text, err=True)


def print_json(value: object) -> None:
    """Print a value of plain types as one JSON document."""
    print_line(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[object]], optional: Sequence[str] = (), lists: Collection[str] = ()
) -> None:
    """Print columns side by side; those that hold only numbers stand to the right.

    `optional` are headings that may be left out for want of room, the first ones first, though those without a value
    go before the others; the columns of `lists` are wrapped before that.
    """
    room = shutil.get_terminal_size().columns
    table = [
        _Column(
            heading,
            [_cell(row[place]) for row in rows],
            bool(rows) and all(isinstance(row[place], int) for row in rows),
        )
        for place, heading in enumerate(headings)
    ]
    candidates = [column for heading in optional for column in table if column.heading == heading]
    candidates.sort(key=lambda column: column.has_values)
    left_out = []
    while candidates and _total(column.longest if column.heading in lists else column.width for column in table) > room:
        column = candidates.pop(0)
        table.remove(column)
        if column.has_values:
            left_out.append(column.heading)
    widths = _narrowed(table, room)
    for row in zip(*([column.heading.upper(), *column.cells] for column in table), strict=True):
        _print_row(row, widths, [column.right for column in table])
    if left_out:
        print_note(f"Left out for want of room: {', '.join(left_out)}. A wider terminal, or --json, has all.")


class _Column:
    """One column of a table, and the widths it needs."""

    def __init__(self, heading: str, cells: list[str], right: bool) -> None:
        self.heading = heading
        self.cells = cells
        self.right = right
        self.width = max(map(len, (heading, *cells)))
        #: The longest piece that is not broken unless it must be.
        self.longest = max(len(piece.lstrip()) for text in (heading, *cells) for piece in _PIECE.findall(text))
        self.has_values = any(cell not in _EMPTY for cell in cells)


def _print_row(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> None:
    """Print one row; a cell that is wider than its column goes on below."""
    cells = [wrapped(text, width) for text, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, cells))):
        texts = [cell[number] if number < len(cell) else "" for cell in cells]
        aligned = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(texts, widths, right, strict=True)
        ]
        print_line(_GAP.join(aligned).rstrip())


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a cell: broken between words and behind slashes, and anywhere where that is not enough."""
    lines = [""]
    for piece in _PIECE.findall(text):
        if len(lines[-1]) + len(piece) > width and lines[-1]:
            lines.append("")
        rest = piece if lines[-1] else piece.lstrip()
        while len(rest) > width:
            lines[-1:] = [rest[:width], ""]
            rest = rest[width:]
        lines[-1] += rest
    return lines


def _narrowed(table: Sequence[_Column], room: int) -> list[int]:
    """The widths with which columns fit into the room, as far as those of text can give way.

    Cells are wrapped between their words first; then words are broken, the longest first.
    """
    widths = [column.width for column in table]
    free = [place for place, column in enumerate(table) if not column.right]
    for limits in ([column.longest for column in table], [_MIN_WIDTH] * len(table)):
        while _total(widths) > room and (wide := [place for place in free if widths[place] > limits[place]]):
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _total(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + len(_GAP) * (len(each) - 1)


def _cell(value: object) -> str:
    """The text of a cell: one line, without control characters."""
    return "-" if value is None or value == "" else printable(str(value))


def printable(text: str) -> str:
    """A text, of an upstream too, without control characters."""
    return "".join(character if character.isprintable() else "?" for character in text)


def sparkline(values: Sequence[int]) -> str:
    """Counts as a row of bars, the highest one of full height; a dot for 0. In ASCII where stdout can write no bars."""
    bars = _BARS if can_write(_BARS) else _ASCII_BARS
    most = max(values, default=0)
    return "".join([bars[-(-value * (len(bars) - 1) // most)] if value else bars[0] for value in values])


def can_write(text: str) -> bool:
    """Whether stdout can write a text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def usd(nano: int | None) -> str:
    """Write nano-dollars as USD, exactly, with 2 to 9 decimals; None is "unpriced"."""
    return "unpriced" if nano is None else dollars(nano)


def utc(microseconds: int | None) -> str:
    """Write microseconds since 1970 as a UTC time in seconds; nothing for None."""
    if microseconds is None:
        return ""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def minute(microseconds: int | None) -> str:
    """Write microseconds since 1970 as a UTC time in minutes, for tables; nothing for None."""
    return utc(microseconds)[:16] + "Z" if microseconds is not None else ""
