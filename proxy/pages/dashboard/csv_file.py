"""CSV files of what the pages have: streamed, bounded, and inert in a spreadsheet."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from proxy.ledger.csv_cell import inert

#: Most rows of a file. One that ends there has a last line that says so.
MAX_ROWS: Final = 100_000


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
