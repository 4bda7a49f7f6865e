"""The lines of a usage report: what they are by, and the SQL that reads the rollups or rows of each. No connection.

Rollups are read where they have what is asked for, whole days where possible; else rows are, by whole hours as well.
"""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Literal, get_args

import msgspec

from proxy.errors import InvalidRequest
from proxy.ledger import periods, rollups, sqlite
from proxy.ledger.periods import DAY, HOUR, Unit
from proxy.ledger.rollups import DIMENSIONS
from proxy.ledger.selection import METADATA, ROW_VALUES, Selection

# fmt: off
By = Literal[
    "key", "model", "team", "org", "tag", "endpoint", "upstream", "session", "user", "metadata", "outcome",
    "hour", "day", "week", "month",
]
# fmt: on
_MICROSECONDS = 1_000_000
#: What lines may be by that only rows have.
_OF_ROWS = ("session", "user", "metadata", "outcome")
_COLUMNS: dict[By, str] = {"model": "alias", "tag": "key"}
#: The SQL function by which periods of other zones than UTC are found: (start, unit, zone).
PERIOD = "period_start"
#: Of the joined tags: pairs of a key and a tag of it.
_TAGS = "(SELECT json_extract(value, '$[0]') AS key, json_extract(value, '$[1]') AS tag FROM json_each(?))"

Values = tuple[str | int, ...]
#: A time from its first second to before its last, in seconds since 1970.
Span = tuple[int, int]


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines of a report are by. Raises InvalidRequest for what cannot be."""

    by: By
    #: By the values of this key of the metadata.
    metadata_key: str = ""
    #: Of days, weeks and months, by its IANA name.
    zone: str = "UTC"
    #: The tags of each key by its id; only used by "tag".
    tags: Mapping[str, tuple[str, ...]] = {}

    def __post_init__(self) -> None:
        if self.by not in get_args(By):
            raise InvalidRequest(f"a report is by none but {', '.join(get_args(By))}", param="by")
        if self.by == "metadata" and not self.metadata_key:
            raise InvalidRequest("by metadata needs the name of a key of it, such as metadata:project", param="by")
        periods.zone_of(self.zone)

    @property
    def unit(self) -> Unit | None:
        """The period of each line; None where lines are no periods."""
        return next((unit for unit in periods.UNITS if unit == self.by), None)

    @property
    def place(self) -> tzinfo:
        """The time zone."""
        return periods.zone_of(self.zone)

    @property
    def needs_rows(self) -> bool:
        """Whether the rollups do not have what lines are by."""
        return self.by in _OF_ROWS

    @property
    def needs_periods(self) -> bool:
        """Whether the SQL function `PERIOD` is used."""
        return self.unit not in (None, "hour") and self.place is not UTC

    def name(self, value: str | int | None) -> str:
        """What a line is called."""
        if self.unit is not None and isinstance(value, int):
            return periods.name_of(self.unit, value, self.place)
        return "" if value is None else str(value)

    def value(self, cursor: str) -> str | int:
        """The reverse of `name`. Raises InvalidRequest for what is no name of a line."""
        if self.unit is None:
            return cursor
        try:
            return periods.start_named(self.unit, cursor, self.place)
        except ValueError as error:
            raise InvalidRequest(f"cursor {cursor!r} is not one of this report", param="cursor") from error

    def lines_of(self, value: str | int) -> tuple[str | int, ...]:
        """The lines to which a line of `source` belongs: several only by tag."""
        return (self.tags.get(str(value)) or ("",)) if self.by == "tag" else (value,)

    def source(
        self,
        span: tuple[int, int],
        columns: tuple[str, ...],
        only: Selection,
        *,
        fine: bool = False,
        once: bool = False,
    ) -> tuple[str, Values]:
        """SQL of a time, in seconds: `line`, `start` and the columns, as a table, with its parameters.

        Only `columns` are selected: what goes through a UNION is copied, and histograms are long. `fine` wants hours.
        By tag a row stands once for each of its lines, unless it is to be there `once`: then its line is the key.
        """
        reads_rows = self.needs_rows or only.needs_rows
        text, values = self._rows(span, columns, only) if reads_rows else self._rollups(span, columns, only, fine)
        if self.by != "tag" or once:
            return text, values
        pairs = [[key, tag] for key, tags in self.tags.items() for tag in tags]
        names = ", ".join(f"found.{name}" for name in ("start", *columns))
        joined = f"(SELECT coalesce(tags.tag, '') AS line, {names} FROM {text} AS found "
        return f"{joined}LEFT JOIN {_TAGS} AS tags ON tags.key = found.line)", (*values, sqlite.json_value(pairs))

    def _rows(self, span: Span, columns: tuple[str, ...], only: Selection) -> tuple[str, Values]:
        line, line_values = self._line()
        condition, values = only.condition()
        since, until = span
        first, last = since - since % HOUR, -(-until // HOUR) * HOUR
        selected = ", ".join(f"{ROW_VALUES.get(name, name)} AS {name}" for name in columns)
        hours = f"started / {_MICROSECONDS} - started / {_MICROSECONDS} % {HOUR} AS start"
        rows = (
            f"SELECT {hours}, {', '.join((*DIMENSIONS, *_OF_ROWS))}, {selected} FROM requests "
            f"WHERE started >= ? AND started < ?{condition}"
        )
        text = f"(SELECT {line} AS line, start, {', '.join(columns)} FROM ({rows}))"
        return text, (*line_values, first * _MICROSECONDS, last * _MICROSECONDS, *values)

    def _rollups(self, span: Span, columns: tuple[str, ...], only: Selection, fine: bool) -> tuple[str, Values]:
        line, line_values = self._line()
        condition, values = only.condition()
        part = (
            f"SELECT {line} AS line, start, {', '.join(columns)} FROM rollups "
            f"WHERE view = {self._view(only)} AND grain = ? AND start >= ? AND start < ?{condition}"
        )
        spans = _spans(*span, fine or self.by == "hour" or self.needs_periods)
        text = f"({' UNION ALL '.join([part] * len(spans))})"
        return text, tuple(value for one in spans for value in (*line_values, *one, *values))

    def _view(self, only: Selection) -> int:
        column = _COLUMNS.get(self.by, self.by)
        return rollups.view_of((*only.columns, *(column,) * (column in rollups.DIMENSIONS)))

    def _line(self) -> tuple[str, Values]:
        if self.by == "metadata":
            text = f"coalesce((SELECT pair.value || '' FROM json_each({METADATA}) AS pair WHERE pair.key = ?), '')"
            return text, (self.metadata_key,)
        if self.unit is None:
            return _COLUMNS.get(self.by, self.by), ()
        if self.needs_periods:
            return f"{PERIOD}(start, ?, ?)", (self.unit, self.zone)
        return periods.SQL_IN_UTC[self.unit], ()


def _spans(since: int, until: int, hourly: bool) -> tuple[tuple[int, int, int], ...]:
    """Grain, first and last start of the rollups of a time: whole days where possible, hours at the edges."""
    since -= since % HOUR
    first, last = -(-since // DAY) * DAY, until - until % DAY
    if hourly or first >= last:
        return ((HOUR, since, until),)
    spans = ((HOUR, since, first), (DAY, first, last), (HOUR, last, until))
    return tuple(span for span in spans if span[1] < span[2])


def totals_of(grouping: Grouping) -> Grouping:
    """A grouping whose lines are not asked for, for totals: by one that costs nothing."""
    return grouping if grouping.needs_rows else Grouping(by="model")
