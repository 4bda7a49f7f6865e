"""CSV files have what the pages have, and are bounded."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.pages.dashboard import csv_file
from proxy.pages.dashboard.csv_file import csv_response, csv_stream


def test_what_is_not_known_is_empty() -> None:
    response = csv_response("x", [{"a": None, "b": '"quoted", and\nbroken'}], ["a", "b"])
    assert list(csv.reader(io.StringIO(bytes(response.body).decode()))) == [["a", "b"], ["", '"quoted", and\nbroken']]
    assert response.headers["content-disposition"] == 'attachment; filename="x.csv"'


def test_a_file_that_is_too_long_says_so_in_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MAX_ROWS", 3)

    async def pages() -> AsyncIterator[list[dict[str, Any]]]:
        for _ in range(10):
            yield [{"a": 1}, {"a": 2}]

    async def read() -> str:
        response: Any = csv_stream("x", pages(), ["a"])
        return b"".join([part async for part in response.body_iterator]).decode()

    rows = list(csv.reader(io.StringIO(asyncio.run(read()))))
    assert [row[0] for row in rows[:4]] == ["a", "1", "2", "1"]
    assert "ends after 3 rows" in rows[4][0]
    assert len(rows) == 5
