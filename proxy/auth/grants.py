"""Prepaid credits: grants of money, spent oldest-expiring first, and what of them has expired unspent.

Pure arithmetic on what was granted and what was spent until when. The balance is the limit less what was spent since
the first grant; it is below 0 where running requests have cost more than there was, which the next grant pays.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec


class Grant(msgspec.Struct, frozen=True, gc=False):
    """One grant of credits. Times are in seconds since 1970."""

    #: Nano-dollars; below 0 for a correction, which never expires.
    amount: int
    created: int
    #: From this time on what is left of it is lost; None for never.
    expires: int | None = None


class CreditLimit(NamedTuple):
    """What may be spent in all since the first grant."""

    #: Nano-dollars: all grants, less what has expired unspent.
    limit: int
    #: The first grant, from which on spending counts; and when the limit changes next. Seconds since 1970.
    since: int
    until: int | None


def credit_limit(grants: Iterable[Grant], spent_until: Callable[[int], int], now: int) -> CreditLimit:
    """The limit at `now`; `spent_until` gives the nano-dollars spent from the first grant to before a second.

    It is called only for times up to the last expiry that has passed.
    """
    everything = sorted(grants, key=_created)
    known = [grant for grant in everything if grant.created <= now]
    # A request that began before a grant may be the first one after it.
    coming = [grant.created for grant in everything if grant.created > now]
    if not known:
        return CreditLimit(0, now, min(coming, default=None))
    passed = {grant.expires for grant in known if grant.expires is not None and grant.expires <= now}
    coming += [grant.expires for grant in known if grant.expires is not None and grant.expires > now]
    limit = sum([grant.amount for grant in known])
    last = max(passed, default=0)
    moments = sorted(passed | {grant.created for grant in known if grant.created <= last})
    left: dict[int, int] = {}
    spent = debt = 0
    for moment in moments:
        total = spent_until(moment)
        debt = _spend(known, left, total - spent + debt)
        spent = total
        for place, grant in enumerate(known):
            if grant.expires == moment:
                limit -= left.pop(place, 0)
        for place, grant in enumerate(known):
            if grant.created == moment and (grant.expires is None or grant.expires > moment):
                if grant.amount > 0:
                    left[place] = grant.amount
                else:
                    debt -= grant.amount
        debt = _spend(known, left, debt)
    return CreditLimit(limit, known[0].created, min(coming, default=None))


def _spend(grants: list[Grant], left: dict[int, int], nanos: int) -> int:
    """Take money from what is left of the grants, the one that expires first before the others; what was not there."""
    for place in sorted(left, key=lambda place: (grants[place].expires or 2**62, place)):
        taken = min(left[place], nanos)
        left[place] -= taken
        nanos -= taken
    return nanos


def _created(grant: Grant) -> int:
    return grant.created
