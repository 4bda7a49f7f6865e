"""The SQL of a dashboard's sums: reads a plan's pieces from the rollups, or from rows where they do not have what is
selected; and adds up what comes of it. Runs in the thread of a query.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.ledger import rollups, sqlite
from proxy.ledger.board_plan import Plan, cover_of, whole_hours
from proxy.ledger.board_values import By, Order, Quantiles, Totals
from proxy.ledger.readers import Query
from proxy.ledger.readers import Values as Parameters
from proxy.ledger.selection import ROW_VALUES, Selection

#: The sums, and the histograms of ttft, total and overhead, of a period and a line.
Sums = tuple[list[int], list[int]]
Values = dict[tuple[int, str], Sums]

_MICROSECONDS: Final = 1_000_000
#: Rows that are read at once; between them it is looked whether the query is stopped.
_CHUNK: Final = 2_000
_SIGNED: Final = ", ".join(f"sum(sign * {name})" for name in rollups.SUMS)
_DURATIONS: Final = ("ttft_if_any", "total_if_any", "overhead_if_any")
_PLAN: Final = (
    "SELECT json_extract(value, '$[0]') AS p_grain, json_extract(value, '$[1]') AS p_start, "
    "json_extract(value, '$[2]') AS sign, json_extract(value, '$[3]') AS slot FROM json_each(?)"
)
_SPANS: Final = (
    f"SELECT json_extract(value, '$[0]') * {_MICROSECONDS} AS p_first, "
    f"json_extract(value, '$[1]') * {_MICROSECONDS} AS p_end, 1 AS sign, json_extract(value, '$[2]') AS slot "
    "FROM json_each(?)"
)
# The type of its column has it an index, rather than be searched for each row.
_PARTS: Final = "SELECT CAST(key AS TEXT) AS part_of, value AS part FROM json_each(?)"
_LINES: Final[Mapping[By, str]] = {
    "": "''",
    "alias": "alias",
    "key": "key",
    "team": "team",
    "tag": "coalesce(part, '')",
    "upstream": "upstream",
    "endpoint": "endpoint",
    "target": "CASE WHEN upstream = '' THEN '' ELSE upstream || '/' || upstream_model END",
}
#: The columns of the rollups that lines are made of.
_OF_LINES: Final[Mapping[By, tuple[str, ...]]] = {"": (), "tag": ("key",), "target": ("upstream", "upstream_model")}
_ORDERS: Final[Mapping[Order, str]] = {"group": "0", "tokens": "input_tokens + output_tokens"}
#: What a line has at least one of, if any request is in it.
_ANY: Final = ("requests", "cost", "unpriced", "uncosted", "target_cost", "output_tokens")


class Source(msgspec.Struct, frozen=True):
    """Where the lines of a block come from. By "tag" they are those of parts, as in `board_tags`."""

    by: By
    only: Selection
    #: By "tag": the part of each key that has any.
    parts: Mapping[str, str] = {}

    @property
    def reads_rows(self) -> bool:
        """Whether the rollups do not have what is selected."""
        return self.only.needs_rows

    def read(self, query: Query, plan: Plan, names: tuple[str, ...] | None = None, *, durations: bool = True) -> Values:
        """The sums of each period and line, of the lines of these names only; without `durations` no histograms."""
        text, values = self._table(plan, rollups.SUMS, names)
        found: Values = {
            (slot, line): (list(sums), [0, 0, 0])
            for slot, line, *sums in query.rows(f"SELECT slot, line, {_SIGNED} FROM {text} GROUP BY slot, line", values)
        }
        if durations:
            add = self._add_durations if self.reads_rows else self._add_histograms
            add(query, plan, names, found)
        return {place: one for place, one in found.items() if any(one[0])}

    def ranked(
        self, query: Query, plan: Plan, order: Order, limit: int, after: tuple[int, str] | None = None
    ) -> list[tuple[str, int]]:
        """The names and sizes of the largest lines, behind the line `after` of that size and name."""
        size = _ORDERS.get(order, order)
        columns = tuple(dict.fromkeys(("requests", *_ANY, "input_tokens", size if size in rollups.SUMS else "cost")))
        text, values = self._table(plan, columns, None)
        having = "true" if not plan.takes_away else " OR ".join(f"sum(sign * {name}) <> 0" for name in _ANY)
        query_text = (
            f"SELECT line, size FROM (SELECT line, sum(sign * ({size})) AS size FROM {text} GROUP BY line "
            f"HAVING {having})"
        )
        if after is not None:
            query_text += " WHERE size < ? OR (size = ? AND line > ?)"
            values = (*values, after[0], after[0], after[1])
        query_text += " ORDER BY size DESC, line LIMIT ?"
        return [(str(line), int(found)) for line, found in query.rows(query_text, (*values, limit))]

    def last_used(self, query: Query, names: tuple[str, ...], since: int, until: int) -> dict[str, int]:
        """When each line was last used in a time: the hour, and of keys the second."""
        if self.by == "key" and not {*self.only.columns} - {"key"} and not self.reads_rows:
            return self._last_of_keys(query, names, since, until)
        if self.reads_rows:
            first, end = whole_hours(since, until)
            spans = tuple((start, start + rollups.HOUR, 0) for start in range(first, end, rollups.HOUR))
            return self._last(query, Plan((), spans), names, f"p_first / {_MICROSECONDS}")
        # The last day of each line, marked by a second, and then the last hour on these days.
        used = self._last(query, cover_of(since, until), names, f"p_start + (p_grain > {rollups.HOUR})")
        marked = {name: last - 1 for name, last in used.items() if last % rollups.HOUR}
        if not marked:
            return used
        days = sorted(set(marked.values()))
        hours = [hour for day in days for hour in range(day, day + rollups.DAY, rollups.HOUR)]
        plan = Plan(tuple((rollups.HOUR, hour, 1, 0) for hour in hours), ())
        found = self._last(query, plan, tuple(marked), "p_start")
        return used | {name: found[name] for name in marked if name in found}

    def _last(self, query: Query, plan: Plan, names: tuple[str, ...], moment: str) -> dict[str, int]:
        text, values = self._table(plan, (), names, also=f", {moment} AS moment")
        found = query.rows(f"SELECT line, max(moment) FROM {text} GROUP BY line", values)
        return {str(line): int(last) for line, last in found}

    def _last_of_keys(self, query: Query, keys: tuple[str, ...], since: int, until: int) -> dict[str, int]:
        found = query.rows(
            "SELECT value, (SELECT max(started) FROM requests WHERE key = value AND started >= ? AND started < ?) "
            "FROM json_each(?)",
            (since * _MICROSECONDS, until * _MICROSECONDS, sqlite.json_list(keys)),
        )
        return {key: int(last) // _MICROSECONDS for key, last in found if last is not None}

    def _add_histograms(self, query: Query, plan: Plan, names: tuple[str, ...] | None, found: Values) -> None:
        text, values = self._table(plan, rollups.HISTOGRAMS, names)
        columns = ", ".join(rollups.HISTOGRAMS)
        for slot, line, sign, *stored in query.each(f"SELECT slot, line, sign, {columns} FROM {text}", values, _CHUNK):
            one = found.get((slot, line))
            if one is not None:
                sums = one[1]
                for place, histogram in enumerate(stored):
                    sums[place] += sign * rollups.unpack(histogram)

    def _add_durations(self, query: Query, plan: Plan, names: tuple[str, ...] | None, found: Values) -> None:
        text, values = self._table(plan, _DURATIONS, names)
        columns = ", ".join(_DURATIONS)
        seen: dict[tuple[int, str], tuple[list[int], ...]] = {}
        for slot, line, *durations in query.each(f"SELECT slot, line, {columns} FROM {text}", values, _CHUNK):
            lists = seen.setdefault((slot, line), ([], [], []))
            for one, duration in zip(lists, durations, strict=True):
                if duration is not None:
                    one.append(duration)
        for place, lists in seen.items():
            if place in found:
                query.check()
                found[place][1][:] = [rollups.observation(*one) for one in lists]

    def _table(
        self, plan: Plan, columns: tuple[str, ...], names: tuple[str, ...] | None, also: str = ""
    ) -> tuple[str, Parameters]:
        """SQL of slot, sign, line and the columns, as a table, with its parameters."""
        condition, chosen = self.only.condition()
        if self.reads_rows:
            pieces, tables = sqlite.json_value(plan.spans), f"plan AS MATERIALIZED ({_SPANS})"
            columns = tuple(f"{ROW_VALUES.get(name, name)} AS {name}" for name in columns)
            text = "plan CROSS JOIN requests ON started >= p_first AND started < p_end"
        else:
            pieces, tables = sqlite.json_value(plan.pieces), f"plan AS MATERIALIZED ({_PLAN})"
            view = rollups.view_of((*_OF_LINES.get(self.by, (self.by,)), *self.only.columns))
            text = f"plan CROSS JOIN rollups ON view = {view} AND grain = p_grain AND start = p_start"
        values: Parameters = (pieces,)
        if self.by == "tag":
            tables += f", parts AS MATERIALIZED ({_PARTS})"
            text += " LEFT JOIN parts ON part_of = key"
            values = (*values, sqlite.json_value(self.parts))
        if names is not None:
            condition += f" AND {_LINES[self.by]} IN {sqlite.IN_LIST}"
            chosen = (*chosen, sqlite.json_list(names))
        selected = "".join(f", {name}" for name in columns) + also
        return (
            # Made tables: what stands in the JSON would be read again for each column of each row.
            f"(WITH {tables} SELECT slot, sign, {_LINES[self.by]} AS line{selected} FROM {text} WHERE true{condition})",
            (*values, *chosen),
        )


def as_one(values: Values) -> Values:
    """All lines of each period as one, ""."""
    found: Values = {}
    for (slot, _), (sums, histograms) in values.items():
        before = found.get((slot, ""), ([0] * len(sums), [0, 0, 0]))
        found[slot, ""] = (
            [a + b for a, b in zip(before[0], sums, strict=True)],
            [a + b for a, b in zip(before[1], histograms, strict=True)],
        )
    return found


def less(everything: Values, some: Values) -> Values:
    """What is left of sums when others, which are part of them, are taken away."""
    left: Values = {}
    for place, (sums, histograms) in everything.items():
        gone = some.get(place, ([0] * len(sums), [0, 0, 0]))
        left[place] = (
            [a - b for a, b in zip(sums, gone[0], strict=True)],
            [a - b for a, b in zip(histograms, gone[1], strict=True)],
        )
    return left


def totals_of(found: Sums | None, *, durations: bool = True) -> Totals:
    """Sums as a page gets them; of durations nothing is said where they were not read."""
    if found is None:
        return Totals()
    sums: dict[str, Any] = dict(zip(rollups.SUMS, found[0], strict=True))
    answered, ttft, total, overhead = (sums.pop(name) for name in ("answered", "ttft", "total", "overhead"))
    if not durations:
        return Totals(**sums)
    return Totals(
        **sums,
        ttft=_quantiles(ttft, answered, found[1][0]),
        total=_quantiles(total, sums["requests"], found[1][1]),
        overhead=_quantiles(overhead, sums["requests"], found[1][2]),
    )


def _quantiles(sum_: int, count: int, histogram: int) -> Quantiles:
    return Quantiles(sum_ // count if count else None, *rollups.percentiles(histogram, 0.50, 0.95, 0.99))
