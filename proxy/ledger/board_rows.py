"""The requests of a dashboard: pages of them, one with its attempts, and those that were stored last.

Runs in the thread of a query.
"""

from typing import Any, Final, NamedTuple

from proxy.errors import InvalidRequest
from proxy.ledger import rollups
from proxy.ledger.board_values import RequestDetail, RequestPage, RequestRow
from proxy.ledger.readers import Query
from proxy.ledger.record import UsageRecord
from proxy.ledger.selection import Selection
from proxy.ledger.tries import decode

_ROW: Final = ", ".join(UsageRecord.__struct_fields__)
_STREAM: Final = UsageRecord.__struct_fields__.index("stream")
#: How the id of the row of a hedge begins that lost, in place of "req_".
_HEDGE: Final = "hdg_"
#: Hours that are read for one page where no index has what is selected; then the page is short.
MAX_HOURS: Final = 24
_MICROSECONDS: Final = 1_000_000


def page(
    query: Query, only: Selection, since: int, until: int, before: tuple[int, str] | None, limit: int
) -> RequestPage:
    """A page of the requests that began in a time, the newest first, behind the one at `before`."""
    if before is None or before[0] > until * _MICROSECONDS:
        before = until * _MICROSECONDS, ""
    if not only.columns or only.keys or only.tagged or only.sessions or only.users:
        found = _before(query, only, before, since * _MICROSECONDS, limit + 1)
        return _page(found, limit, since, ended=True)
    # There is no index for these: the sums say in which hours there are any.
    hours = _hours(query, only, since, before[0] // _MICROSECONDS)
    found = []
    for hour in hours[:MAX_HOURS]:
        found += _before(query, only, before, max(hour, since) * _MICROSECONDS, limit + 1 - len(found))
        if len(found) > limit:
            break
        before = hour * _MICROSECONDS, ""
    reached = max(hours[MAX_HOURS - 1], since) if len(hours) > MAX_HOURS else since
    return _page(found, limit, reached, ended=len(hours) <= MAX_HOURS)


def _hours(query: Query, only: Selection, since: int, until: int) -> list[int]:
    """The hours in which a selection has rows, from the last one on: one more than are read."""
    condition, values = only.of_rollups().condition()
    found = query.rows(
        f"SELECT start FROM rollups WHERE view = {rollups.view_of(only.columns)} AND grain = {rollups.HOUR} "
        f"AND start >= ? AND start <= ?{condition} GROUP BY start ORDER BY start DESC LIMIT {MAX_HOURS + 1}",
        (since - since % rollups.HOUR, until, *values),
    )
    return [int(start) for (start,) in found]


def _before(query: Query, only: Selection, before: tuple[int, str], since: int, limit: int) -> list[Any]:
    """The last rows from `since`, in microseconds, to before a place."""
    condition, values = only.condition()
    # What the indexes of these columns are made for.
    condition += " AND session <> ''" * bool(only.sessions) + " AND user <> ''" * bool(only.users)
    return query.rows(
        f"SELECT rowid, {_ROW} FROM requests WHERE started <= ? AND (started, id) < (?, ?) AND started >= ?{condition} "
        "ORDER BY started DESC, id DESC LIMIT ?",
        (before[0], *before, since, *values, limit),
    )


def _page(found: list[Any], limit: int, reached: int, *, ended: bool) -> RequestPage:
    rows = tuple(map(_row, found[:limit]))
    if len(found) > limit:
        last = rows[-1].record
        return RequestPage(rows, cursor_of(last.started, last.id), last.started // _MICROSECONDS)
    return RequestPage(rows, None if ended else cursor_of(reached * _MICROSECONDS, ""), reached)


def detail(query: Query, id_: str, only: Selection) -> RequestDetail | None:
    """One request."""
    condition, values = only.condition()
    ids = (id_, id_.replace("req_", _HEDGE, 1))
    found = query.rows(f"SELECT rowid, {_ROW} FROM requests WHERE id IN (?, ?){condition}", (*ids, *values))
    rows = {row.record.id: row for row in map(_row, found)}
    own = rows.get(id_)
    return RequestDetail(own, decode(own.record.tries), rows.get(ids[1]) if ids[1] != id_ else None) if own else None


class NewestRows(NamedTuple):
    """Rows as they were stored, oldest first."""

    rows: list[RequestRow]
    #: Where the next look begins.
    place: int
    #: Rows that were stored before these, and are left out.
    missed: int


def newest(query: Query, only: Selection, after: int | None, limit: int) -> NewestRows:
    """The last rows that were stored behind a place, the place of the last one of all, and how many more there were."""
    ((last,),) = query.rows("SELECT coalesce(max(rowid), 0) FROM requests")
    if after is None or last <= after:
        return NewestRows([], int(last), 0)
    condition, values = only.condition()
    stored = f"FROM requests NOT INDEXED WHERE rowid > ? AND rowid <= ?{condition}"
    found = query.rows(f"SELECT rowid, {_ROW} {stored} ORDER BY rowid DESC LIMIT ?", (after, last, *values, limit))
    missed = 0
    if len(found) == limit:
        ((count,),) = query.rows(f"SELECT count(*) {stored}", (after, last, *values))
        missed = count - limit
    return NewestRows([_row(row) for row in reversed(found)], int(last), missed)


def has_sample(query: Query) -> bool:
    """Whether there are rows of sample data, whose keys' ids begin with "sample-"."""
    return bool(query.rows("SELECT 1 FROM requests WHERE key >= 'sample-' AND key < 'sample.' LIMIT 1"))


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
