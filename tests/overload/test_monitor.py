"""What is refused and reported for which reading, without sockets."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock, patch

import pytest

from proxy.clock.sweeper import TimeoutSweeper
from proxy.config.tree import Server
from proxy.errors import GatewayError, Overloaded, StoreFailed
from proxy.ledger.journal import Journal
from proxy.overload.grades import CLOSE, PAUSE, REFUSE, RELEASE_SECONDS
from proxy.overload.monitor import Overload
from proxy.server.load_shedding import SheddingState
from tests.overload.forced import Forced

MEMORY = 1_000_000


class Watched:
    """A monitor over made-up readings, at a time that the test says."""

    def __init__(self, folder: Path) -> None:
        self.pressure = SheddingState()
        self.readings = Forced(MEMORY)
        self.deadlines = TimeoutSweeper()
        server = Server(max_memory_bytes=MEMORY, max_in_flight=2)
        self.overload = Overload(server, self.deadlines, self.pressure, self.readings)
        self.overload.journal = Journal(folder, durability="process")
        self.now = 1_000.0

    def sample(self, seconds: float = 0.1) -> None:
        """A sweep, so long after the last one."""
        self.now += seconds
        with patch.object(time, "monotonic", lambda: self.now):
            self.overload.sample()

    def settle(self) -> None:
        """Enough sweeps in time for every reading to have had its effect."""
        for _ in range(int(RELEASE_SECONDS / 0.1) + 11):
            self.sample()

    def refused(self, times: int) -> int:
        """How many of so many requests are refused."""
        return sum(self.refusal() is not None for _ in range(times))

    def refusal(self) -> GatewayError | None:
        try:
            self.overload.admit()
        except GatewayError as error:
            return error
        return None


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    assert watched.overload.journal is not None
    watched.overload.journal.close()


@pytest.mark.parametrize("reading", ["memory_share", "descriptor_share"])
@pytest.mark.parametrize(
    ("share", "grade", "closing", "refused", "paused"),
    [
        (0.5, 0, False, 0, False),
        (0.85, CLOSE, True, 0, False),
        (0.92, REFUSE, True, 5, False),
        (0.97, PAUSE, True, 5, True),
    ],
)
def test_each_grade_does_more(
    watched: Watched, reading: str, share: float, grade: int, closing: bool, refused: int, paused: bool
) -> None:
    watched.overload.others = 1
    setattr(watched.readings, reading, share)
    watched.settle()
    assert watched.overload.grade == grade
    assert watched.refused(5) == refused
    assert (watched.pressure.closing, watched.pressure.paused) == (closing, paused)


def test_all_is_taken_back_when_the_reading_falls(watched: Watched) -> None:
    watched.readings.descriptor_share = 0.97
    watched.settle()
    watched.readings.descriptor_share = 0.1
    watched.settle()
    assert (watched.overload.grade, watched.refused(5)) == (0, 0)
    assert (watched.pressure.closing, watched.pressure.paused) == (False, False)


def test_memory_is_no_reason_to_refuse_when_nothing_under_way_could_free_it(watched: Watched) -> None:
    watched.readings.memory_share = 0.97
    watched.settle()
    assert (watched.overload.grade, watched.refused(5), watched.pressure.paused) == (CLOSE, 0, False)


def test_the_listener_is_paused_at_once_when_the_last_descriptors_are_given_away(watched: Watched) -> None:
    watched.settle()
    watched.pressure.pause = Mock()
    watched.pressure.reached()
    assert watched.pressure.pause.call_count == 1
    assert watched.pressure.paused
    assert isinstance(watched.refusal(), Overloaded)


def test_upstreams_may_have_what_is_left_but_for_the_files(watched: Watched) -> None:
    watched.readings.descriptor_share = 0.5
    watched.settle()
    for number, opening, may in ((500_000, 0, True), (960_000, 0, True), (960_000, 20_000, False), (980_000, 0, False)):
        watched.readings.descriptors_free = number
        assert watched.overload.may_connect(opening) == may
        assert watched.pressure.paused == (number > 500_000)


def test_a_late_loop_refuses_a_share_and_closes_nothing(watched: Watched) -> None:
    for _ in range(10):
        watched.sample(0.1 + 0.4)
    share = watched.overload.loop.ratio
    assert 0.1 < share < 0.5
    assert watched.refused(1_000) == pytest.approx(1_000 * share, abs=1)
    assert (watched.pressure.closing, watched.pressure.paused) == (False, False)


def test_a_small_share_is_a_warning_and_a_large_one_a_reason(watched: Watched) -> None:
    for _ in range(10):
        watched.sample(0.5)
    assert watched.overload.reason() is None
    assert "the event loop is 0.40 s late" in (watched.overload.warning() or "")
    for _ in range(10):
        watched.sample(0.5)
    assert "the event loop is 0.40 s late" in (watched.overload.reason() or "")
    assert watched.overload.warning() is None


def test_a_full_journal_takes_no_new_work(watched: Watched) -> None:
    journal, watched.overload.journal = watched.overload.journal, Mock(failed=None, fullness=0.85)
    watched.settle()
    refusal = watched.refusal()
    watched.overload.journal = journal
    assert isinstance(refusal, StoreFailed)
    assert refusal.headers["retry-after"] == "1"
    assert "the journal is at 85%" in (watched.overload.reason() or "")


def test_the_number_under_way_is_bounded(watched: Watched) -> None:
    watched.overload.others = 1
    assert watched.refusal() is None
    watched.overload.others = 2
    refusal = watched.refusal()
    assert isinstance(refusal, Overloaded)
    assert refusal.headers["retry-after"] == "1"


def test_other_bounds_hold_from_then_on(watched: Watched) -> None:
    watched.overload.others = 2
    watched.overload.reconfigure(Server(max_in_flight=3))
    assert watched.refusal() is None


def test_there_is_one_line_for_each_change(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "proxy.overload"):
        watched.settle()
        watched.readings.descriptor_share = 0.92
        watched.settle()
        watched.readings.descriptor_share = 0.0
        watched.settle()
    assert [record.getMessage() for record in caplog.records] == [
        "overload grade 2, was 0: 920000 of 1000000 descriptors are open (raise the limit on open files)",
        "overload grade 0, was 2",
    ]
