"""What goes through a gateway now, as its ledger has it: requests without a row yet, and the rows of the last seconds.

Reads only, on a connection of its own that is closed again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from proxy.ledger import sqlite
from proxy.ledger.record import AttemptRecord
from proxy.ledger.rollups import DAY, FAILURES, LOST, view_of

#: By what lines may be, with the column of rows; attempts have a field of that name.
COLUMNS: Final[Mapping[str, str]] = {"alias": "alias", "key": "key", "upstream": "upstream", "team": "team"}
#: A row's time is that of its beginning: requests that took longer than this are not found by their end. It bounds how
#: many rows are read.
LONGEST_SECONDS: Final = 600
_FAILED: Final = ", ".join(f"'{outcome}'" for outcome in sorted(FAILURES))


class LiveLine(msgspec.Struct, frozen=True):
    """The traffic of an alias, key, upstream or team; or all of it. Counts are of the window."""

    group: str
    #: Requests at an upstream now.
    in_flight: int = 0
    requests: int = 0
    errors: int = 0
    #: Input and output tokens.
    tokens: int = 0
    #: Mean time to the first byte, in microseconds; None where none came.
    ttft: int | None = None
    #: Nano-dollars.
    cost: int = 0
    #: Nano-dollars since midnight, UTC.
    cost_today: int = 0


class Live(msgspec.Struct, frozen=True):
    """A look at the traffic."""

    #: Seconds since 1970.
    time: float
    #: Seconds of which the counts are.
    window: int
    lines: list[LiveLine]
    total: LiveLine


async def read_live(path: Path, by: str, window: int, now: float) -> Live:
    """Look at the traffic by one of `COLUMNS`, of the last `window` seconds until `now`. Raises StoreFailed.

    A request counts in the window when it ended there, and took no longer than `LONGEST_SECONDS`.
    """
    column = COLUMNS[by]
    end = int(now * 1_000_000)
    begin = end - window * 1_000_000
    midnight = int(now) // DAY * DAY
    connection = await sqlite.open_reader(path)
    try:
        with sqlite.mapped(path):
            opens = list(await connection.execute_fetchall("SELECT record FROM opens"))
            ended = list(
                await connection.execute_fetchall(
                    f"SELECT {column}, sum(outcome <> '{LOST}'), "
                    f"sum(outcome <> '{LOST}' AND (status >= 400 OR outcome IN ({_FAILED}))), "
                    "sum(input_tokens + output_tokens), CAST(avg(ttft) AS INTEGER), sum(coalesce(cost, 0)), "
                    "sum(ttft), count(ttft) "
                    f"FROM requests WHERE started >= ? AND started + total >= ? AND started <= ? GROUP BY {column}",
                    (begin - LONGEST_SECONDS * 1_000_000, begin, end),
                )
            )
            spent = list(
                await connection.execute_fetchall(
                    f"SELECT {column}, sum(cost) FROM rollups "
                    f"WHERE view = {view_of((column,))} AND grain = {DAY} AND start >= ? GROUP BY {column}",
                    (midnight,),
                )
            )
    finally:
        await connection.close()
    in_flight: dict[str, int] = {}
    for (record,) in opens:
        group = str(getattr(msgspec.json.decode(record, type=AttemptRecord), column))
        in_flight[group] = in_flight.get(group, 0) + 1
    rows = {str(row[0]): row for row in ended}
    today = {str(group): int(cost) for group, cost in spent}
    groups = sorted({*in_flight, *rows, *today})
    lines = [_line(group, in_flight.get(group, 0), rows.get(group), today.get(group, 0)) for group in groups]
    waits, answered = (sum(row[place] or 0 for row in ended) for place in (6, 7))
    total = LiveLine(
        "",
        sum(line.in_flight for line in lines),
        sum(line.requests for line in lines),
        sum(line.errors for line in lines),
        sum(line.tokens for line in lines),
        waits // answered if answered else None,
        sum(line.cost for line in lines),
        sum(line.cost_today for line in lines),
    )
    return Live(now, window, lines, total)


def _line(group: str, in_flight: int, row: Any, cost_today: int) -> LiveLine:
    if row is None:
        return LiveLine(group, in_flight, cost_today=cost_today)
    return LiveLine(group, in_flight, row[1], row[2], row[3], row[4], row[5], cost_today)
