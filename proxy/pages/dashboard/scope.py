"""Scope: what of the ledger a page is about, as its URL says: period, step, time zone and filters.

It is read from the query of any page and written into the links of all of them, so that it stays from page to page.
What the viewer may not see is taken out of it here: every selection is the viewer's own `only`.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal, cast, get_args
from urllib.parse import urlencode

import msgspec

from proxy.auth.names import Names
from proxy.errors import InvalidRequest
from proxy.ledger import periods
from proxy.ledger.board_values import Board, Step
from proxy.ledger.selection import Selection
from proxy.pages.request import PageRequest
from proxy.pages.viewer import Viewer

Period = Literal["24h", "7d", "30d", "month", "custom"]
PERIODS: Final[Mapping[str, str]] = {
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
    "month": "This month",
    "custom": "Custom",
}
#: Steps of a chart that suit a period.
_STEPS: Final[Mapping[str, Step]] = {"24h": "hour", "7d": "day", "30d": "day", "month": "day", "custom": "day"}
_DAYS: Final[Mapping[str, int]] = {"7d": 7, "30d": 30}
#: The cookies of what a reader has chosen to see. They hold no secret.
ZONE_COOKIE: Final = "prometheus_zone"
THEME_COOKIE: Final = "prometheus_theme"
THEMES: Final = ("system", "light", "dark")
#: Filters, in the order of the form; those that only admins have.
FILTERS: Final = (
    *("alias", "key", "team", "tag", "endpoint", "status", "outcome", "upstream", "session", "user", "metadata"),
)
ADMIN_FILTERS: Final = frozenset({"key", "team", "tag", "upstream"})
#: Longest value of a filter, and how many there may be.
MAX_FILTER_CHARACTERS: Final = 200
MAX_FILTERS: Final = 50
#: What no key has for an id: a selection of it is empty.
_NO_KEY: Final = "-"


class Range(msgspec.Struct, frozen=True):
    """A time from its first second to before its last, in seconds since 1970."""

    since: int
    until: int


@dataclass(frozen=True)
class Scope:
    """What a page is about. Its `board` is the period's, `before` that of the period before it."""

    viewer: Viewer
    period: Period
    step: Step
    zone: str
    #: The dates of a custom period, as the form has them.
    first: str
    last: str
    range: Range
    previous: Range
    #: By the name of the filter.
    filters: Mapping[str, tuple[str, ...]]
    only: Selection
    tags: Mapping[str, tuple[str, ...]]
    #: The zone, where the URL says it and not the cookie.
    asked_zone: str = ""

    @property
    def board(self) -> Board:
        """The period."""
        return self._board(self.range)

    @property
    def before(self) -> Board:
        """The period before it, of the same length."""
        return self._board(self.previous)

    def _board(self, span: Range) -> Board:
        return Board(since=span.since, until=span.until, step=self.step, zone=self.zone, only=self.only, tags=self.tags)

    def query(self, **changes: str | None) -> str:
        """The query of a link to a page with this scope, changed; with its question mark, or empty."""
        pairs = [(name, value) for name, value in self._pairs() if name not in changes]
        pairs += [(name, value) for name, value in changes.items() if value]
        return f"?{urlencode(pairs)}" if pairs else ""

    def without(self, name: str, value: str) -> str:
        """The query without one value of a filter."""
        return self._written([pair for pair in self._pairs() if pair != (name, value)])

    def having(self, name: str, value: str) -> str:
        """The query with one value of a filter in place of its others."""
        return self._written([*[pair for pair in self._pairs() if pair[0] != name], (name, value)])

    def _written(self, pairs: list[tuple[str, str]]) -> str:
        return f"?{urlencode(pairs)}" if pairs else ""

    def fields(self, *names: str) -> list[tuple[str, str]]:
        """What a form that sets these fields must keep of the scope, as hidden fields."""
        return [pair for pair in self._pairs() if pair[0] not in names]

    def _pairs(self) -> list[tuple[str, str]]:
        pairs = [("zone", self.asked_zone)] if self.asked_zone else []
        if self.period != "24h":
            pairs.append(("period", self.period))
        if self.period == "custom":
            pairs += [("from", self.first), ("to", self.last)]
        if self.step != _STEPS[self.period]:
            pairs.append(("step", self.step))
        pairs += [(name, value) for name, values in self.filters.items() for value in values]
        return pairs

    @property
    def active(self) -> list[tuple[str, str]]:
        """The filters that are set, one pair a value."""
        return [(name, value) for name, values in self.filters.items() for value in values]


def read_scope(request: PageRequest, names: Names, now: float | None = None) -> Scope:
    """The scope of a request. Raises InvalidRequest for what cannot be, and names the field."""
    query, viewer = request.query, request.signed_in
    zone = query.get("zone") or cookie(request, ZONE_COOKIE) or "UTC"
    if len(zone) > MAX_FILTER_CHARACTERS:
        raise InvalidRequest("There is no such time zone.", param="zone")
    place = periods.zone_of(zone)
    period = query.get("period") or "24h"
    if period not in get_args(Period):
        raise InvalidRequest(f"'period' is one of {', '.join(PERIODS)}.", param="period")
    step = query.get("step") or _STEPS[period]
    if step not in get_args(Step):
        raise InvalidRequest(f"'step' is one of {', '.join(get_args(Step))}.", param="step")
    first, last = query.get("from", "")[:32], query.get("to", "")[:32]
    moment = int(time.time() if now is None else now)
    range_, previous = _ranges(cast(Period, period), place, moment, first, last)
    filters = dict(_filters(request, viewer))
    only = viewer.only(selection_of(filters, names, viewer))
    tags = names.tags if viewer.is_admin else {}
    return Scope(
        viewer,
        cast(Period, period),
        cast(Step, step),
        zone,
        first,
        last,
        range_,
        previous,
        filters,
        only,
        tags,
        query.get("zone", ""),
    )


def cookie(request: PageRequest, name: str) -> str | None:
    """The value of a cookie of the reader's choices, or None."""
    for part in (request.header(b"cookie") or "").split(";"):
        found, _, value = part.strip().partition("=")
        if found == name and value:
            return value.replace("%2F", "/")
    return None


def theme_of(request: PageRequest) -> str:
    """The colours that the reader has chosen."""
    theme = cookie(request, THEME_COOKIE)
    return theme if theme in THEMES else "system"


def selection_of(filters: Mapping[str, tuple[str, ...]], names: Names, viewer: Viewer) -> Selection:
    """The filters as the ledger has them, before the viewer's own. Raises InvalidRequest for what is not there."""
    keys = filters.get("key", ())
    if viewer.is_admin:
        keys = tuple(id_ for key in keys for id_ in _known_keys(names, key))
    tags = filters.get("tag", ())
    return Selection(
        keys=keys,
        tagged=tuple({id_ for tag in tags for id_ in names.tagged(tag)}) if tags else None,
        teams=tuple(_team(names, team) for team in filters.get("team", ())),
        aliases=filters.get("alias", ()),
        endpoints=filters.get("endpoint", ()),
        upstreams=filters.get("upstream", ()),
        outcomes=filters.get("outcome", ()),
        statuses=filters.get("status", ()),
        sessions=filters.get("session", ()),
        users=filters.get("user", ()),
        metadata=tuple(_pair(text) for text in filters.get("metadata", ())),
    )


def _filters(request: PageRequest, viewer: Viewer) -> Iterator[tuple[str, tuple[str, ...]]]:
    count = 0
    for name in FILTERS:
        if name in ADMIN_FILTERS and not viewer.is_admin:
            continue
        values = tuple(dict.fromkeys(value for value in request.query.getlist(name) if value))
        count += len(values)
        if any(len(value) > MAX_FILTER_CHARACTERS for value in values) or count > MAX_FILTERS:
            message = f"At most {MAX_FILTERS} filters of {MAX_FILTER_CHARACTERS} characters may be set."
            raise InvalidRequest(message, param=name)
        if values:
            yield name, values


def _known_keys(names: Names, key: str) -> tuple[str, ...]:
    # The rows of a key outlive it; the name of no key matches no rows.
    return names.key_ids(key) or ((key,) if key.startswith("key_") else (_NO_KEY,))


def _team(names: Names, team: str) -> str:
    return next((id_ for id_, name in names.teams.items() if team in (id_, name)), team)


def _pair(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name:
        raise InvalidRequest("'metadata' is NAME=VALUE, such as project=web.", param="metadata")
    return name, value


def _ranges(period: Period, place: tzinfo, now: int, first: str, last: str) -> tuple[Range, Range]:
    """The period and the one before it, both of as much time."""
    until = -(-now // periods.HOUR) * periods.HOUR
    if period == "24h":
        since = until - periods.DAY
        return Range(since, until), Range(since - periods.DAY, since)
    if period == "month":
        since = periods.start_of("month", now, place)
        begin = periods.start_of("month", since - 1, place)
        return Range(since, until), Range(begin, min(begin + until - since, since))
    if period == "custom":
        since, until = _custom(place, first, last)
        return Range(since, until), Range(max(2 * since - until, 0), since)
    days = _DAYS[period]
    today = datetime.fromtimestamp(now, place).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    since, begin = (int((today - timedelta(days=count)).timestamp()) for count in (days - 1, 2 * days - 1))
    return Range(since, until), Range(begin, begin + until - since)


def _custom(place: tzinfo, first: str, last: str) -> tuple[int, int]:
    since, until = _moment(place, first, "from"), _moment(place, last, "to")
    if len(last) == len("2026-11-01"):
        # The last day belongs to the period.
        end = datetime.fromisoformat(last) + timedelta(days=1)
        until = int(end.replace(tzinfo=place).timestamp())
    if since >= until:
        raise InvalidRequest("A custom period ends after it begins: choose a later end.", param="to")
    return since, until


def _moment(place: tzinfo, text: str, name: str) -> int:
    try:
        found = datetime.fromisoformat(text)
        moment = int((found if found.tzinfo is not None else found.replace(tzinfo=place)).astimezone(UTC).timestamp())
    except (ValueError, OverflowError) as error:
        message = f"'{name}' of a custom period is a date such as 2026-11-01, or a time such as 2026-11-01T12:00."
        raise InvalidRequest(message, param=name) from error
    if moment < 0:
        raise InvalidRequest("A custom period begins after 1970.", param=name)
    return moment
