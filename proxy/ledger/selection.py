"""Which requests a report is about: filters, as conditions of SQL with their values.

Pure: no connection is held here, and no text of a filter becomes a part of a statement.
"""

from collections.abc import Iterator

import msgspec

from proxy.ledger import rollups
from proxy.ledger.rollups import HOUR

_MICROSECONDS = 1_000_000


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Filters that must all hold; an empty one lets everything through."""

    #: Ids of keys.
    keys: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()

    @property
    def needs_rows(self) -> bool:
        """Whether the rollups do not know what is asked for, so that every row of the time must be read."""
        return bool(self.upstreams or self.outcomes)

    def condition(self) -> tuple[str, tuple[str, ...]]:
        """What to put behind a WHERE clause, and its values."""
        filters = list(self._filters())
        text = "".join(f" AND {column} IN (SELECT value FROM json_each(?))" for column, _ in filters)
        return text, tuple(msgspec.json.encode(values).decode() for _, values in filters)

    def _filters(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        columns = ("key", "alias", "upstream", "outcome")
        for column, values in zip(columns, (self.keys, self.aliases, self.upstreams, self.outcomes), strict=True):
            if values:
                yield column, values

    def rows(self, since: int, until: int, columns: tuple[str, ...]) -> tuple[str, tuple[str | int, ...]]:
        """The rows of a time (in seconds, rounded out to whole hours) in the place of their rollups."""
        condition, values = self.condition()
        start = f"started / {_MICROSECONDS} - started / {_MICROSECONDS} % {HOUR} AS start"
        parts = ", ".join([start, "key", "alias", *(f"{_OF_A_ROW.get(name, name)} AS {name}" for name in columns)])
        first, last = since - since % HOUR, -(-until // HOUR) * HOUR
        text = f"(SELECT {parts} FROM requests WHERE started >= ? AND started < ?{condition})"
        return text, (first * _MICROSECONDS, last * _MICROSECONDS, *values)


_FAILED = ", ".join(f"'{outcome}'" for outcome in sorted(rollups.FAILURES))
#: What a row adds to a sum that is not a column of its own.
_OF_A_ROW = {
    "requests": "1",
    "errors": f"(status >= 400 OR outcome IN ({_FAILED}))",
    "cost": "coalesce(cost, 0)",
    "unpriced": "(cost IS NULL)",
    "estimated": "(usage_source = 'estimated')",
    "answered": "(ttft IS NOT NULL)",
    "ttft": "coalesce(ttft, 0)",
    #: For histograms, in which a request without an answer is none of 0 seconds.
    "ttft_if_any": "ttft",
}
