"""The requests of a dashboard: pages of them, one with its attempts, and those that were stored last.

Runs in the thread of a query.
"""

from typing import Any, Final

from proxy.errors import InvalidRequest
from proxy.ledger.board_values import RequestDetail, RequestPage, RequestRow
from proxy.ledger.readers import Query
from proxy.ledger.record import UsageRecord
from proxy.ledger.selection import Selection

_ROW: Final = ", ".join(UsageRecord.__struct_fields__)
_STREAM: Final = UsageRecord.__struct_fields__.index("stream")
_MICROSECONDS: Final = 1_000_000


def page(
    query: Query, only: Selection, since: int, until: int, before: tuple[int, str] | None, limit: int
) -> RequestPage:
    """A page of the requests that began in a time, the newest first, behind the one at `before`."""
    condition, values = only.condition()
    started, id_ = before or (until * _MICROSECONDS, "")
    found = query.rows(
        f"SELECT rowid, {_ROW} FROM requests WHERE (started, id) < (?, ?) AND started >= ?{condition} "
        "ORDER BY started DESC, id DESC LIMIT ?",
        (started, id_, since * _MICROSECONDS, *values, limit + 1),
    )
    rows = tuple(map(_row, found[:limit]))
    more = len(found) > limit
    last = rows[-1].record if rows else None
    reached = last.started // _MICROSECONDS if more and last else since
    return RequestPage(rows, cursor_of(last.started, last.id) if more and last else None, reached)


def detail(query: Query, id_: str, only: Selection) -> RequestDetail | None:
    """One request."""
    condition, values = only.condition()
    found = query.rows(f"SELECT rowid, {_ROW} FROM requests WHERE id = ?{condition}", (id_, *values))
    return RequestDetail(_row(found[0]), ()) if found else None


def newest(query: Query, only: Selection, after: int | None, limit: int) -> tuple[list[RequestRow], int]:
    """The last rows that were stored behind a place, and the place of the last one of all."""
    ((last,),) = query.rows("SELECT coalesce(max(rowid), 0) FROM requests")
    if after is None or last <= after:
        return [], int(last)
    condition, values = only.condition()
    found = query.rows(
        f"SELECT rowid, {_ROW} FROM requests NOT INDEXED WHERE rowid > ? AND rowid <= ?{condition} "
        "ORDER BY rowid DESC LIMIT ?",
        (after, last, *values, limit),
    )
    return [_row(row) for row in reversed(found)], int(last)


def cursor_of(started: int, id_: str) -> str:
    """The cursor behind a row."""
    return f"{started}.{id_}"


def place_of(cursor: str) -> tuple[int, str]:
    """The reverse of `cursor_of`. Raises InvalidRequest."""
    started, separator, id_ = cursor.partition(".")
    if not separator or not started.isdecimal() or not started.isascii() or len(started) > 18:
        raise InvalidRequest(f"cursor {cursor!r} is not one of this page", param="cursor")
    return int(started), id_


def _row(found: tuple[Any, ...]) -> RequestRow:
    place, *values = found
    values[_STREAM] = bool(values[_STREAM])
    return RequestRow(int(place), UsageRecord(*values))
