"""The blocks of a dashboard, as values: what a page selects, and what it gets. No SQL.

Money is nano-dollars, durations are microseconds, times are seconds since 1970. Nothing unknown is counted as 0.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from proxy.errors import InvalidRequest
from proxy.ledger import periods
from proxy.ledger.record import UsageRecord
from proxy.ledger.selection import Selection
from proxy.ledger.tries import Try

Step = Literal["hour", "day", "week"]
#: What lines are of. A target is an upstream and its model, "upstream/model".
By = Literal["", "alias", "key", "team", "tag", "upstream", "endpoint", "target"]
#: What lines may be sorted by, the largest first; and "group", by their names.
Order = Literal[
    "group",
    "cost",
    "requests",
    "errors",
    "tokens",
    "input_tokens",
    "output_tokens",
    "unpriced",
    "target_cost",
    "margin",
]
#: The line of all that are in none of the largest.
OTHER: Final = None
#: The most periods of a series: hours of 62 days.
MAX_PERIODS: Final = 1_488


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """What a page is about; in whole hours: `since` is rounded down and `until` up. Raises InvalidRequest."""

    since: int
    until: int
    #: Of charts. Weeks are ISO weeks.
    step: Step = "day"
    #: IANA name. An hour counts in the period in which it begins.
    zone: str = "UTC"
    only: Selection = Selection()
    #: The tags of each key by its id; only used by "tag".
    tags: Mapping[str, tuple[str, ...]] = {}

    def __post_init__(self) -> None:
        periods.zone_of(self.zone)
        if not 0 <= self.since < self.until:
            raise InvalidRequest("a time ends after it begins", param="since")


class Quantiles(msgspec.Struct, frozen=True):
    """The distribution of a duration, in microseconds; None when no request has it."""

    mean: int | None = None
    p50: int | None = None
    p95: int | None = None
    p99: int | None = None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of requests."""

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_milliseconds: int = 0
    images: int = 0
    #: Nano-dollars, of the priced requests.
    cost: int = 0
    #: Requests whose cost is not known.
    unpriced: int = 0
    #: Nano-dollars that the targets cost the operator, of the requests for which that is known.
    target_cost: int = 0
    #: Requests for which it is not known.
    uncosted: int = 0
    #: Cost less target cost, of the requests for which both are known.
    margin: int = 0
    #: Requests whose tokens are estimated.
    estimated: int = 0
    ttft: Quantiles = Quantiles()
    total: Quantiles = Quantiles()
    overhead: Quantiles = Quantiles()

    @property
    def has_margin(self) -> bool:
        """Whether what targets cost is known of more than requests that reached none, which cost nothing."""
        return self.requests > 0 and (not self.uncosted or self.target_cost != 0 or self.margin != 0)


class Line(msgspec.Struct, frozen=True):
    """One line of a chart: the sums of each period."""

    #: None for all that are in none of the largest; "" for those that have no such thing, such as no team.
    group: str | None
    values: tuple[Totals, ...]


class Series(msgspec.Struct, frozen=True):
    """A chart: periods, and its lines, the largest first; the line of all others is the last one, where there are any.

    A request of a key with two tags is in two lines by tag, and never twice in one.
    """

    #: When each period begins, in seconds since 1970; the first and the last may be cut by the time of the board.
    starts: tuple[int, ...]
    lines: tuple[Line, ...]


class Group(msgspec.Struct, frozen=True):
    """One line of a table."""

    group: str
    totals: Totals
    #: When the last request began, in seconds since 1970: of a key, and of a tag; else the hour. None where not known.
    last_used: int | None = None


class GroupPage(msgspec.Struct, frozen=True):
    """A page of a table."""

    groups: tuple[Group, ...]
    #: Of the next page; None at the end.
    cursor: str | None


class RequestRow(msgspec.Struct, frozen=True):
    """A request, or an attempt that lost a race, with its place in the order in which rows were stored."""

    place: int
    record: UsageRecord


class RequestPage(msgspec.Struct, frozen=True):
    """Requests, the newest first. A page may be short, and even empty, before the end."""

    rows: tuple[RequestRow, ...]
    #: Of the next page; None at the end.
    cursor: str | None
    #: How far back was looked, in seconds since 1970.
    reached: int


class RequestDetail(msgspec.Struct, frozen=True):
    """All that is stored of a request."""

    row: RequestRow
    #: Its attempts that failed, in their order; the one that served it is the row's own.
    failed: tuple[Try, ...]
    #: The row of its hedge that lost the race, where there was one that is billed to the same key.
    lost: RequestRow | None = None
