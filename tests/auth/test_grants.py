"""Credits: oldest-expiring first, what expires unspent is lost, and a debt is paid by the next grant."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from proxy.auth.grants import CreditLimit, Grant, credit_limit


def spending(*costs: tuple[int, int]) -> Callable[[int], int]:
    """What was spent until a second, of (second, nano-dollars)."""
    return lambda until: sum(cost for second, cost in costs if second < until)


def test_grants_add_up() -> None:
    assert credit_limit([Grant(5, 10), Grant(7, 20)], spending((15, 3)), 30) == CreditLimit(12, 10, None)


def test_a_grant_that_is_not_made_yet_does_not_count() -> None:
    assert credit_limit([Grant(5, 10), Grant(7, 40), Grant(1, 10, 90)], spending(), 30) == CreditLimit(6, 10, 40)
    assert credit_limit([Grant(7, 40), Grant(7, 50)], spending(), 30) == CreditLimit(0, 30, 40)
    assert credit_limit([], spending(), 30) == CreditLimit(0, 30, None)


def test_what_expires_unspent_is_lost() -> None:
    grants = [Grant(10, 10, expires=100), Grant(20, 10)]
    spent = spending((50, 4))
    assert credit_limit(grants, spent, 99) == CreditLimit(30, 10, 100)
    assert credit_limit(grants, spent, 100) == CreditLimit(24, 10, None)


def test_the_grant_that_expires_first_is_spent_first() -> None:
    grants = [Grant(20, 10), Grant(10, 10, expires=200), Grant(10, 10, expires=100)]
    # 4 of what expires at 100, whatever the order of the grants; then 10 of what expires at 200.
    spent = spending((50, 4), (150, 12))
    assert credit_limit(grants, spent, 300).limit == 40 - 6


def test_money_that_is_spent_before_a_grant_is_a_debt_that_it_pays() -> None:
    grants = [Grant(5, 10), Grant(10, 60, expires=100)]
    # 8 of 5 were spent by what was in flight; 3 of the second grant go into that, and 7 expire.
    assert credit_limit(grants, spending((50, 8)), 100).limit == 15 - 7


def test_a_correction_takes_back_what_is_there() -> None:
    assert credit_limit([Grant(10, 10), Grant(-4, 20)], spending(), 30).limit == 6
    # Of what expires first, so that 4 and not 10 are lost.
    grants = [Grant(10, 10, expires=100), Grant(20, 10), Grant(-6, 20)]
    assert credit_limit(grants, spending(), 100).limit == 20


def test_spending_after_an_expiry_is_no_reason_to_keep_what_expired() -> None:
    assert credit_limit([Grant(10, 0, expires=100)], spending((150, 10)), 200).limit == 0


_GRANTS = st.lists(
    st.builds(Grant, st.integers(0, 50), st.integers(0, 50), st.none() | st.integers(0, 120)), max_size=6
).map(lambda grants: [grant for grant in grants if grant.expires is None or grant.expires > grant.created])
_COSTS = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 20)), max_size=12)


@given(_GRANTS, _COSTS, st.integers(0, 130))
def test_it_agrees_with_spending_one_unit_at_a_time(
    grants: list[Grant], costs: list[tuple[int, int]], now: int
) -> None:
    first = min((grant.created for grant in grants if grant.created <= now), default=now)
    costs = [(second, cost) for second, cost in costs if second >= first]
    left = dict.fromkeys(range(len(grants)), 0)
    lost = debt = 0
    for second in range(now + 1):
        for place, grant in enumerate(grants):
            if grant.expires == second:
                lost += left.pop(place, 0)
            if grant.created == second:
                paid = min(debt, grant.amount)
                debt -= paid
                left[place] = grant.amount - paid
        for _ in range(sum(cost for at, cost in costs if at == second)):
            live = [place for place in left if left[place]]
            if live:
                left[min(live, key=lambda place: (grants[place].expires or 10**9, grants[place].created, place))] -= 1
            else:
                debt += 1
    granted = sum(grant.amount for grant in grants if grant.created <= now)
    assert credit_limit(grants, spending(*costs), now).limit == granted - lost
