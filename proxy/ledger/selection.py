"""Filters of a report, as SQL conditions with parameters: no text of a filter becomes part of a statement."""

from collections.abc import Iterator

import msgspec

from proxy.ledger import rollups, sqlite
from proxy.ledger.rollups import HOUR

_MICROSECONDS = 1_000_000


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Filters that must all match; an empty one matches everything."""

    #: Ids of keys.
    keys: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()

    @property
    def needs_rows(self) -> bool:
        """Whether a filter is on a column that the rollups do not have, so that rows must be read."""
        return bool(self.upstreams or self.outcomes)

    def condition(self) -> tuple[str, tuple[str, ...]]:
        """SQL to append to a WHERE clause, and its parameters."""
        filters = list(self._filters())
        text = "".join(f" AND {column} IN {sqlite.IN_LIST}" for column, _ in filters)
        return text, tuple(sqlite.json_list(values) for _, values in filters)

    def _filters(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        columns = ("key", "alias", "upstream", "outcome")
        for column, values in zip(columns, (self.keys, self.aliases, self.upstreams, self.outcomes), strict=True):
            if values:
                yield column, values

    def rows(self, since: int, until: int, columns: tuple[str, ...]) -> tuple[str, tuple[str | int, ...]]:
        """SQL for the rows of a time (in seconds, rounded out to hours) in the form of rollups, and its parameters."""
        condition, values = self.condition()
        start = f"started / {_MICROSECONDS} - started / {_MICROSECONDS} % {HOUR} AS start"
        parts = ", ".join([start, "key", "alias", *(f"{_ROW_VALUES.get(name, name)} AS {name}" for name in columns)])
        first, last = since - since % HOUR, -(-until // HOUR) * HOUR
        text = f"(SELECT {parts} FROM requests WHERE started >= ? AND started < ?{condition})"
        return text, (first * _MICROSECONDS, last * _MICROSECONDS, *values)


_FAILED = ", ".join(f"'{outcome}'" for outcome in sorted(rollups.FAILURES))
#: The value of one row for sums that are not columns of the row.
_ROW_VALUES = {
    "requests": "1",
    "errors": f"(status >= 400 OR outcome IN ({_FAILED}))",
    "cost": "coalesce(cost, 0)",
    "unpriced": "(cost IS NULL)",
    "estimated": "(usage_source = 'estimated')",
    "answered": "(ttft IS NOT NULL)",
    "ttft": "coalesce(ttft, 0)",
    #: For histograms, in which a request without a response is not counted as 0 seconds.
    "ttft_if_any": "ttft",
}
