"""CSV files of what the pages have: streamed, bounded, and inert in a spreadsheet.

A text that a spreadsheet would take for a formula has an apostrophe in front of it.
"""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

#: Most rows of a file. One that ends there has a last line that says so.
MAX_ROWS: Final = 100_000
#: With any of these in front, spreadsheets take a text for a formula, some after skipping the spaces before it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def inert(value: object) -> object:
    """A value as a cell: a text that begins as a formula does is marked as text."""
    if not isinstance(value, str):
        return "" if value is None else value
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-").replace(".", "", 1)
    return digits.isascii() and digits.isdecimal()


def csv_response(name: str, rows: Iterable[Mapping[str, Any]], header: Iterable[str]) -> Response:
    """A file of rows that are there already."""
    output = io.StringIO()
    writer = csv.writer(output)
    columns = list(header)
    writer.writerow(columns)
    writer.writerows([[inert(row.get(column)) for column in columns] for row in rows])
    return Response(output.getvalue(), headers=_disposition(name), media_type="text/csv; charset=utf-8")


def csv_stream(name: str, pages: AsyncIterator[list[dict[str, Any]]], header: Iterable[str]) -> Response:
    """A file of rows that come page by page: never more than a page of it is in memory."""
    return StreamingResponse(
        _parts(pages, list(header)), headers=_disposition(name), media_type="text/csv; charset=utf-8"
    )


async def _parts(pages: AsyncIterator[list[dict[str, Any]]], columns: list[str]) -> AsyncIterator[bytes]:
    count = 0
    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(columns)
    async for rows in pages:
        taken = rows[: MAX_ROWS - count]
        writer.writerows([[inert(row.get(column)) for column in columns] for row in taken])
        count += len(taken)
        if len(taken) < len(rows) or count == MAX_ROWS:
            writer.writerow([f"(the file ends after {MAX_ROWS} rows; choose a shorter period for the others)"])
            break
        yield output.getvalue().encode()
        output.seek(0)
        output.truncate()
    yield output.getvalue().encode()


def _disposition(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}.csv"'}
