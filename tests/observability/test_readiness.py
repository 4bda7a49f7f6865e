"""The reasons not to be ready, and the warnings that leave it ready."""

from proxy.observability.readiness import SHUTTING_DOWN, Readiness


def test_ready_while_nothing_speaks_against_it() -> None:
    readiness = Readiness()
    readiness.add_check(lambda: None)
    readiness.add_warning_check(lambda: None)
    assert (readiness.reasons(), readiness.warnings()) == ([], [])


def test_each_check_runs_at_each_probe() -> None:
    readiness, reasons = Readiness(), iter(["full", None])
    readiness.add_check(lambda: next(reasons))
    assert [readiness.reasons(), readiness.reasons()] == [["full"], []]


def test_draining_comes_before_all_other_reasons() -> None:
    readiness = Readiness()
    readiness.add_check(lambda: "full")
    readiness.draining = True
    assert readiness.reasons() == [SHUTTING_DOWN, "full"]


def test_a_warning_is_no_reason() -> None:
    readiness = Readiness()
    readiness.add_warning_check(lambda: "slow")
    assert (readiness.reasons(), readiness.warnings()) == ([], ["slow"])
