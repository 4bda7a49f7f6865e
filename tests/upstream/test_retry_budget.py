"""How many retries may run at once."""

from proxy.upstream.retry_budget import RetryBudget


def taken(budget: RetryBudget, active: int, tries: int = 1000) -> int:
    """How many retries begin, while so many first attempts run."""
    return sum(budget.try_acquire(active + budget.running) for _ in range(tries))


def test_a_few_may_run_however_little_is_going_on() -> None:
    assert taken(RetryBudget(20, 3), active=1) == 3


def test_a_fifth_of_the_first_attempts_may_be_repeated() -> None:
    assert taken(RetryBudget(20, 3), active=100) == 20


def test_what_was_given_back_may_be_taken_again() -> None:
    budget = RetryBudget(20, 1)
    assert budget.try_acquire(1)
    assert not budget.try_acquire(2)
    budget.release()
    assert budget.try_acquire(1)


def test_a_budget_of_nothing_allows_nothing() -> None:
    assert taken(RetryBudget(0, 0), active=1000) == 0
