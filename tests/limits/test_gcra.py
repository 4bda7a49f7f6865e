"""The cell rate algorithm against what it promises: never above the rate and its burst, and never less."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.gcra import MAX_AHEAD, Gcra

SECOND = 10**9
MINUTE = 60 * SECOND

rates = st.builds(
    Gcra, st.integers(1, 10_000), st.sampled_from([SECOND, MINUTE, 3_600 * SECOND]), st.integers(1, 10_000)
)
#: (nanoseconds since the last one, how many are wanted).
wishes = st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(1, 500)), max_size=80)


def take(rate: Gcra, tat: int, now: int, count: int) -> int | None:
    end = rate.taken(tat, now, count)
    return end if rate.wait(end, now) <= 0 else None


@given(rates, wishes)
def test_no_span_of_time_lets_more_through_than_its_share_and_the_burst(
    rate: Gcra, wanted: list[tuple[int, int]]
) -> None:
    tat, now = 0, 10**12
    passed: list[tuple[int, int]] = []
    for pause, count in wanted:
        now += pause
        end = take(rate, tat, now, count)
        if end is not None:
            tat = end
            passed.append((now, count))
    for at, (begin, _) in enumerate(passed):
        total = 0
        for takings, (time, count) in enumerate(passed[at:], 1):
            total += count
            # Each cost is rounded down by less than a nanosecond.
            span = time - begin + takings
            assert total * rate.period <= rate.burst * rate.period + span * rate.amount


@given(rates, wishes)
def test_what_is_said_to_be_left_can_be_taken_and_no_more(rate: Gcra, wanted: list[tuple[int, int]]) -> None:
    tat, now = 0, 10**12
    for pause, count in wanted:
        now += pause
        left = rate.remaining(tat, now)
        assert left == 0 or take(rate, tat, now, left) is not None
        # What has come back in part does not count.
        assert take(rate, tat, now, left + 2) is None
        tat = take(rate, tat, now, count) or tat


@given(rates, wishes)
def test_a_refused_request_passes_after_the_wait_and_not_before(rate: Gcra, wanted: list[tuple[int, int]]) -> None:
    tat, now = 0, 10**12
    for pause, count in wanted:
        now += pause
        end = rate.taken(tat, now, count)
        wait = rate.wait(end, now)
        if wait <= 0:
            tat = end
        elif count <= rate.burst:
            assert take(rate, tat, now + wait, count) is not None
            assert take(rate, tat, now + wait - 1, count) is None


def test_a_burst_is_taken_to_the_last_one() -> None:
    for amount in (1, 7, 60, 600, 9_999):
        rate = Gcra(amount, MINUTE, amount)
        tat, now = 0, 10**12
        for _ in range(amount):
            end = take(rate, tat, now, 1)
            assert end is not None
            tat = end
        assert rate.remaining(tat, now) == 0
        assert take(rate, tat, now, 1) is None
        assert take(rate, tat, now + MINUTE // amount + 1, 1) is not None


@given(rates, st.integers(1, 500), st.integers(0, 500), st.integers(0, 10 * SECOND))
def test_a_refund_gives_back_no_more_than_was_taken_and_never_makes_more_than_the_burst(
    rate: Gcra, count: int, unused: int, later: int
) -> None:
    now = 10**12
    unused = min(unused, count)
    end = rate.taken(0, now, count)
    back = rate.refunded(end, now + later, count, unused, end)
    assert back <= end
    assert back >= min(end, now + later)
    assert rate.remaining(back, now + later) <= rate.burst
    # Never better than if it had taken only what it used.
    assert max(back, now + later) >= rate.taken(0, now, count - unused) or back == now + later


def test_a_refund_at_once_leaves_what_was_used() -> None:
    rate = Gcra(1_000, MINUTE, 1_000)
    now = 10**12
    end = rate.taken(rate.taken(0, now, 100), now, 500)
    assert rate.remaining(end, now) == 400
    assert rate.remaining(rate.refunded(end, now, 500, 450, end), now) == 850


def test_what_has_come_back_by_itself_is_not_given_back_again() -> None:
    rate = Gcra(60, MINUTE, 60)
    now = 10**12
    end = rate.taken(0, now, 30)
    later = now + 30 * SECOND
    other = rate.taken(end, later, 60)
    assert rate.refunded(other, later, 30, 30, end) == other


def test_many_refunds_that_were_saved_up_let_no_more_through() -> None:
    """A client that holds reservations of the last hour, and ends them one after the other."""
    rate = Gcra(600, MINUTE, 600)
    now, tat = 10**12, 0
    ends = []
    for _ in range(10):
        tat = rate.taken(tat, now, 600)
        ends.append(tat)
        now += MINUTE
    used = 0
    for end in ends:
        while (taken := take(rate, tat, now, 1)) is not None:
            tat = taken
            used += 1
        tat = rate.refunded(tat, now, 600, 600, end)
    assert used <= 601


def test_an_overrun_is_paid_back_by_waiting() -> None:
    rate = Gcra(100, MINUTE, 100)
    now = 10**12
    tat = rate.overrun(rate.taken(0, now, 100), now, 100)
    assert rate.remaining(tat, now) == 0
    assert rate.wait(rate.taken(tat, now, 1), now) == MINUTE + MINUTE // 100
    assert rate.overrun(0, now, 10**12) == now + MAX_AHEAD
