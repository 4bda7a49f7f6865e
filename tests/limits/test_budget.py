"""Budgets over shared counters: all or nothing, every reservation given back, each cost counted once."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger.spending import Payers
from proxy.limits.budget import REFUSE, SOFT_CAP, STOP_STREAM, WARN, BudgetReservation, Pot, Rule, Spending, reserve
from proxy.limits.calendar import Calendar
from proxy.limits.counters import HELD, SharedCounters

NOW = 1_796_083_200_000_000


def pot_of(
    counters: SharedCounters, limit: int = 100, mode: int = REFUSE, *, name: str = "one", warn: tuple[int, ...] = ()
) -> Pot:
    return Pot(name, Rule("The budget", limit, mode, warn), Payers(), Calendar("day", "UTC"), counters)


def loaded(pot: Pot, base: int = 0, basis: int = NOW) -> Spending:
    spending = pot.spending(NOW)
    spending.load(base, basis)
    return spending


def test_it_is_not_loaded_until_the_ledger_was_read() -> None:
    spending = pot_of(SharedCounters()).spending(NOW)
    assert not spending.find(1)
    spending.load(7, NOW)
    assert spending.find(1)
    assert (spending.spent(), spending.left()) == (7, 93)


def test_the_ledger_is_read_into_a_slot_once() -> None:
    spending = loaded(pot_of(SharedCounters()), 7)
    spending.load(50, NOW + 5)
    assert spending.spent() == 7


def test_all_budgets_have_it_or_none() -> None:
    counters = SharedCounters()
    rich, poor = loaded(pot_of(counters, 100)), loaded(pot_of(counters, 10, name="two"))
    assert reserve((rich, poor), 11, counters, 1) is poor
    assert (rich.reserved(), poor.reserved()) == (0, 0)
    assert reserve((rich, poor), 10, counters, 1) is None
    assert (rich.left(), poor.left()) == (90, 0)


def test_a_request_settles_at_its_cost() -> None:
    counters = SharedCounters()
    spending = loaded(pot_of(counters))
    assert reserve((spending,), 60, counters, 1) is None
    BudgetReservation(60, (spending,)).settle(counters, 25, NOW)
    assert spending.counts() == (25, 0)


def test_a_reservation_becomes_another_one_or_stays_as_it_is() -> None:
    counters = SharedCounters()
    both, first, other = [loaded(pot_of(counters, 100, name=name)) for name in ("both", "first", "other")]
    assert reserve((both, first), 60, counters, 1) is None
    held = BudgetReservation(60, (both, first), "one")
    # What it gives back in a budget of both is there for it.
    assert held.exchange(BudgetReservation(90, (both, other), "two"), counters, 1) is None
    assert [one.reserved() for one in (both, first, other)] == [90, 0, 90]
    assert held.exchange(BudgetReservation(101, (both, first), "three"), counters, 1) is both
    assert [one.reserved() for one in (both, first, other)] == [90, 0, 90]
    assert (held.nanos, held.alias) == (90, "two")
    held.settle(counters, 5, NOW)
    assert [one.counts() for one in (both, first, other)] == [(5, 0), (0, 0), (5, 0)]


def test_a_request_settles_in_the_window_in_which_it_was_reserved() -> None:
    counters = SharedCounters()
    pot = pot_of(counters)
    today = loaded(pot)
    reserve((today,), 60, counters, 1)
    tomorrow = pot.spending(today.end)
    tomorrow.load(0, today.end)
    BudgetReservation(60, (today,)).settle(counters, 25, NOW)
    assert (today.counts(), tomorrow.counts()) == ((25, 0), (0, 0))


def test_what_each_mode_refuses() -> None:
    counters = SharedCounters()
    for mode, refused in (
        (REFUSE, {1: False, 40: False, 41: True}),
        (SOFT_CAP, {1: False, 40: False, 41: False}),
        (STOP_STREAM, {1: False, 40: False, 41: False}),
        (WARN, {1: False, 40: False, 41: False}),
    ):
        spending = loaded(pot_of(counters, 100, mode, name=str(mode)), 60)
        assert {nanos: spending.refuses(nanos) for nanos in refused} == refused
        empty = loaded(pot_of(counters, 100, mode, name=f"empty {mode}"), 100)
        assert (empty.refuses(1), empty.refuses(0)) == (mode != WARN, False)


def test_a_request_that_began_before_the_ledger_was_read_makes_it_be_read_again() -> None:
    counters = SharedCounters()
    spending = loaded(pot_of(counters), 10)
    reserve((spending,), 5, counters, 1)
    begun = spending.begin_refresh()
    assert begun is not None
    stale, _ = BudgetReservation(5, (spending,)).settle(counters, 3, NOW - 1)
    assert stale == [spending]
    assert spending.spent() == 13
    # What was read before may be without it.
    assert not spending.end_refresh(10, begun)
    begun = spending.begin_refresh()
    assert begun is not None
    assert spending.end_refresh(13, begun)
    assert spending.spent() == 13


def test_a_new_basis_counts_what_memory_has_as_read() -> None:
    counters = SharedCounters()
    spending = loaded(pot_of(counters), 10)
    BudgetReservation(0, (spending,)).settle(counters, 3, NOW)
    begun = spending.begin_refresh(NOW + 100)
    assert spending.spent() == 13
    assert begun is not None
    # A dead worker has left 4 more than memory has seen.
    assert spending.end_refresh(17, begun)
    stale, _ = BudgetReservation(0, (spending,)).settle(counters, 1, NOW + 100)
    assert (stale, spending.spent()) == ([], 18)


def test_a_dead_workers_reservations_are_given_back() -> None:
    counters = SharedCounters(workers=2)
    spending = loaded(pot_of(counters))
    for place in (0, 1):
        counters.place = place
        reserve((spending,), 30 + place, counters, 1)
    assert spending.counts() == (0, 61)
    counters.forget(1)
    assert spending.counts() == (0, 30)


def test_two_workers_spend_from_one_budget() -> None:
    counters = SharedCounters(workers=2)
    one, other = loaded(pot_of(counters)), pot_of(counters).spending(NOW)
    reserve((one,), 70, counters, 1)
    counters.place = 1
    assert other.find(1)
    assert reserve((other,), 31, counters, 1) is other
    assert reserve((other,), 30, counters, 1) is None


def test_each_share_is_warned_of_once_and_by_one_worker() -> None:
    counters = SharedCounters()
    spending, other = loaded(pot_of(counters, warn=(80, 50, 100))), pot_of(counters, warn=(50, 80, 100)).spending(NOW)
    other.find(1)
    assert spending.due_warnings() == []
    BudgetReservation(0, (spending,)).settle(counters, 49, NOW)
    assert spending.due_warnings() == []
    _, warned = BudgetReservation(0, (spending,)).settle(counters, 40, NOW)
    assert warned == [spending]
    assert (spending.due_warnings(), other.due_warnings(), spending.due_warnings()) == ([50, 80], [], [])
    _, warned = BudgetReservation(0, (spending,)).settle(counters, 10, NOW)
    assert warned == []


def test_what_was_reached_when_it_was_loaded_is_not_warned_of_but_a_lowered_limit_is() -> None:
    counters = SharedCounters()
    assert loaded(pot_of(counters, 100, warn=(50, 80)), 60).due_warnings() == []
    lowered = pot_of(counters, 70, warn=(50, 80)).spending(NOW)
    lowered.find(1)
    assert lowered.due_warnings() == [80]
    raised = pot_of(counters, 1_000, warn=(50, 80)).spending(NOW)
    raised.find(1)
    assert raised.due_warnings() == []
    BudgetReservation(0, (raised,)).settle(counters, 500, NOW)
    assert raised.due_warnings() == [50]


def test_a_stream_is_overdrawn_when_it_has_cost_more_than_is_left_for_it() -> None:
    counters = SharedCounters()
    spending = loaded(pot_of(counters, 100, STOP_STREAM), 50)
    reserve((spending,), 20, counters, 1)
    reservation = BudgetReservation(20, (spending,))
    assert reservation.overdrawn(counters, 50) is None
    assert reservation.overdrawn(counters, 51) is spending
    refusing = loaded(pot_of(counters, 1, REFUSE, name="two"))
    assert BudgetReservation(0, (refusing,)).overdrawn(counters, 51) is None


def test_an_idle_slot_that_was_given_up_is_read_from_the_ledger_again() -> None:
    counters = SharedCounters(slots=1)
    spending = loaded(pot_of(counters), 7)
    late = 10**19 // 2
    assert counters.find(12345, late) == spending.at
    # Its cost is in the ledger by now.
    assert BudgetReservation(0, (spending,)).settle(counters, 5, NOW) == ([], [])
    assert not spending.find(late + 10**15)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60), st.booleans()), max_size=30), st.integers(0, 200))
def test_no_sequence_leaves_a_reservation_or_passes_the_limit_by_more_than_the_estimates(
    steps: list[tuple[int, int, bool]], limit: int
) -> None:
    counters = SharedCounters(slots=8)
    spending = loaded(pot_of(counters, limit))
    running: list[tuple[BudgetReservation, int]] = []
    over = total = 0
    for nanos, cost, settles in steps:
        if reserve((spending,), nanos, counters, 1) is None:
            running.append((BudgetReservation(nanos, (spending,)), cost))
        if settles and running:
            reservation, cost = running.pop(0)
            reservation.settle(counters, cost, NOW)
            over += max(cost - reservation.nanos, 0)
            total += cost
        assert spending.spent() + spending.reserved() <= limit + over
    for reservation, cost in running:
        reservation.settle(counters, cost, NOW)
        total += cost
    assert spending.counts() == (total, 0)
    assert counters.cells[spending.at + HELD] == 0
