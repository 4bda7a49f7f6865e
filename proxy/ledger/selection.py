"""Filters of a report, as SQL conditions with parameters: no text of a filter becomes part of a statement."""

import re
from collections.abc import Iterator

import msgspec

from proxy.errors import InvalidRequest
from proxy.ledger import rollups, sqlite

_STATUS = re.compile(r"([1-5])([0-9]{2}|xx)")


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Filters that must all match; an empty one matches everything."""

    #: Ids of keys.
    keys: tuple[str, ...] = ()
    #: Ids of the keys that have a tag; None for all keys, and empty for none.
    tagged: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    #: Ids of teams and organisations, as they were when the request was made.
    teams: tuple[str, ...] = ()
    orgs: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    #: HTTP statuses (`429`) and classes of them (`5xx`).
    statuses: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    #: Pairs of the client's metadata. Those of one name are alternatives.
    metadata: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for status in self.statuses:
            if _STATUS.fullmatch(status) is None:
                raise InvalidRequest(f"status {status!r} is none such as 429, or a class such as 5xx", param="status")

    @property
    def needs_rows(self) -> bool:
        """Whether a filter is on a column that the rollups do not have, so that rows must be read."""
        return bool(self.outcomes or self.statuses or self.sessions or self.users or self.metadata)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns on which there are filters, of those that rollups have."""
        return tuple(column for column, _ in self._lists() if column in rollups.DIMENSIONS)

    def of_rollups(self) -> "Selection":
        """The filters on the columns that rollups have."""
        return msgspec.structs.replace(self, outcomes=(), statuses=(), sessions=(), users=(), metadata=())

    def condition(self) -> tuple[str, tuple[str, ...]]:
        """SQL to append to a WHERE clause, and its parameters."""
        texts: list[str] = []
        values: list[str] = []
        for column, wanted in self._lists():
            if len(wanted) == 1:
                # Then an index by this column has the rows in the order of time, too.
                texts.append(f"{column} = ?")
                values.append(wanted[0])
            else:
                texts.append(f"{column} IN {sqlite.IN_LIST}")
                values.append(sqlite.json_list(wanted))
        if self.statuses:
            texts.append(f"(status || '' IN {sqlite.IN_LIST} OR (status / 100) || 'xx' IN {sqlite.IN_LIST})")
            values += [sqlite.json_list(self.statuses)] * 2
        for name in dict(self.metadata):
            texts.append(
                f"EXISTS (SELECT 1 FROM json_each({METADATA}) AS pair "
                f"WHERE pair.key = ? AND pair.value || '' IN {sqlite.IN_LIST})"
            )
            values += [name, sqlite.json_list(value for key, value in self.metadata if key == name)]
        return "".join(f" AND {text}" for text in texts), tuple(values)

    def _lists(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        if self.tagged is not None:
            yield "key", self.tagged
        for column, wanted in (
            ("key", self.keys),
            ("alias", self.aliases),
            ("team", self.teams),
            ("org", self.orgs),
            ("endpoint", self.endpoints),
            ("upstream", self.upstreams),
            ("outcome", self.outcomes),
            ("session", self.sessions),
            ("user", self.users),
        ):
            if wanted:
                yield column, wanted


#: The metadata of a row, for json_each.
METADATA = "nullif(metadata, '')"
_FAILED = ", ".join(f"'{outcome}'" for outcome in sorted(rollups.FAILURES))
_IS_REQUEST = f"(outcome <> '{rollups.LOST}')"
_TARGET_COST = "CASE WHEN upstream = '' THEN coalesce(target_cost, 0) ELSE target_cost END"
#: The value of one row for sums that are not columns of the row.
ROW_VALUES = {
    "requests": _IS_REQUEST,
    "errors": f"({_IS_REQUEST} AND (status >= 400 OR outcome IN ({_FAILED})))",
    "cost": "coalesce(cost, 0)",
    "unpriced": "(cost IS NULL)",
    "target_cost": "coalesce(target_cost, 0)",
    "uncosted": f"(({_TARGET_COST}) IS NULL)",
    "margin": f"coalesce(cost - ({_TARGET_COST}), 0)",
    "estimated": "(usage_source = 'estimated')",
    "answered": f"(ttft IS NOT NULL AND {_IS_REQUEST})",
    "ttft": f"coalesce(ttft, 0) * {_IS_REQUEST}",
    "total": f"total * {_IS_REQUEST}",
    "overhead": f"overhead * {_IS_REQUEST}",
    #: For histograms, in which a request without a response is not counted as 0 seconds.
    "ttft_if_any": f"CASE WHEN {_IS_REQUEST} THEN ttft END",
    "total_if_any": f"CASE WHEN {_IS_REQUEST} THEN total END",
    "overhead_if_any": f"CASE WHEN {_IS_REQUEST} THEN overhead END",
}
