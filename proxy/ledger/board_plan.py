"""Which sums make up the periods of a chart: days where possible, hours at the edges, added or taken away.

A day of Europe/Berlin is no day of UTC. It is one, plus the hour before it, less its last hour: three sums instead of
24. So a chart in any zone reads few more sums than one in UTC. Pure arithmetic; times are seconds since 1970.
"""

from itertools import pairwise

import msgspec

from proxy.ledger import periods
from proxy.ledger.periods import DAY, HOUR, Unit

#: A sum that is part of a period: grain, start, 1 or -1, and the number of the period.
Piece = tuple[int, int, int, int]
Span = tuple[int, int, int]


def whole_hours(since: int, until: int) -> tuple[int, int]:
    """The hours of a time: its begin rounded down, and its end up."""
    return since - since % HOUR, until + -until % HOUR


def begins(since: int, until: int, unit: Unit, zone: str) -> tuple[int, ...]:
    """When the periods begin that share hours with a time; the first one may begin before it."""
    since, until = whole_hours(since, until)
    place = periods.zone_of(zone)
    longest = {"hour": HOUR, "day": DAY + 2 * HOUR, "week": 7 * DAY + 2 * HOUR, "month": 31 * DAY + 2 * HOUR}[unit]
    found = [periods.start_of(unit, since, place)]
    while (start := periods.start_of(unit, found[-1] + longest, place)) < until:
        found.append(start)
    return tuple(found)


class Plan(msgspec.Struct, frozen=True):
    """A time, or its periods: as sums, and as plain spans where rows are to be read."""

    pieces: tuple[Piece, ...]
    #: First second, end, and the number of the period.
    spans: tuple[Span, ...]

    @property
    def takes_away(self) -> bool:
        """Whether sums are taken away: then a line may be left with nothing."""
        return any(piece[2] < 0 for piece in self.pieces)


def plan_of(since: int, until: int, starts: tuple[int, ...] = (0,)) -> Plan:
    """The plan of the periods that begin at `starts`, within a time; of all of it without them."""
    since, until = whole_hours(since, until)
    # An hour counts in the period in which it begins.
    edges = [since, *(start + -start % HOUR for start in starts[1:]), until]
    spans = tuple((first, last, number) for number, (first, last) in enumerate(pairwise(edges)))
    return Plan(tuple(piece for span in spans for piece in _pieces(*span)), spans)


def cover_of(since: int, until: int) -> Plan:
    """A time in whole days, and the hours before and behind them; nothing is taken away."""
    since, until = whole_hours(since, until)
    first = min(since + -since % DAY, until)
    last = max(until - until % DAY, first)
    spans = ((HOUR, since, first), (DAY, first, last), (HOUR, last, until))
    pieces = tuple((grain, start, 1, 0) for grain, begin, end in spans for start in range(begin, end, grain))
    return Plan(pieces, ((since, until, 0),))


def _pieces(first: int, last: int, number: int) -> list[Piece]:
    first_day, last_day = _nearest_day(first), _nearest_day(last)
    days = (last_day - first_day) // DAY
    hours = (abs(first - first_day) + abs(last - last_day)) // HOUR
    if days < 1 or days + hours >= (last - first) // HOUR:
        return [(HOUR, start, 1, number) for start in range(first, last, HOUR)]
    return [
        *((HOUR, start, 1, number) for start in range(first, first_day, HOUR)),
        *((HOUR, start, -1, number) for start in range(first_day, first, HOUR)),
        *((DAY, start, 1, number) for start in range(first_day, last_day, DAY)),
        *((HOUR, start, 1, number) for start in range(last_day, last, HOUR)),
        *((HOUR, start, -1, number) for start in range(last, last_day, HOUR)),
    ]


def _nearest_day(moment: int) -> int:
    return (moment + DAY // 2) // DAY * DAY
