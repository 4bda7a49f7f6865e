"""A request that waits, as an origin: between an exchange and a room that are scripted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.errors import GatewayError, Overloaded
from proxy.exchange.context import RequestContext
from proxy.exchange.queued_origin import QueuedOrigin, WaitingRoom
from proxy.routing.queue import Waiter
from tests.exchange.doubles import Bench, Run, bench, context_of


class Room(WaitingRoom):
    """Keeps who waits."""

    def __init__(self) -> None:
        self.waiting: list[Waiter] = []
        self.waits: list[str] = []
        self.sweeps = 0

    def enter(self, waiter: Waiter) -> None:
        self.waiting.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        if waiter in self.waiting:
            self.waiting.remove(waiter)

    def swept(self) -> None:
        self.sweeps += 1

    def started(self, alias: str, seconds: float) -> None:
        self.waits.append(alias)

    def timed_out(self, context: RequestContext) -> GatewayError:
        return Overloaded("No room.", headers={"retry-after": "1"})


class Scene:
    def __init__(self, made: Bench) -> None:
        self.bench = made
        self.room = Room()
        self.context = context_of(stream=False)
        self.origin = QueuedOrigin(made.services, self.context, self.room, 5, 2.0)
        self.run: Run = made.run(self.context, self.origin)
        (self.waiter,) = self.room.waiting

    @property
    def members(self) -> int:
        return len(self.bench.services.deadlines)

    def is_over(self) -> bool:
        return not self.members and not self.room.waiting and not self.waiter.try_start(0.0)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with bench(tmp_path) as made:
        yield Scene(made)


def test_it_sends_nothing_and_is_in_the_sweeper_while_it_waits(scene: Scene) -> None:
    assert (scene.run.downstream.status, scene.members) == (0, 1)
    assert not scene.origin.overdue(scene.waiter.since + 1.9)
    assert scene.room.sweeps == 1


def test_a_wait_that_is_over_is_the_error_of_the_room(scene: Scene) -> None:
    assert scene.origin.overdue(scene.waiter.since + 2.1)
    scene.origin.expire()
    assert (scene.run.downstream.status, b"No room." in scene.run.downstream.body) == (503, True)
    assert scene.bench.outcomes == [("refused", 503)]
    assert scene.is_over()


def test_a_client_that_leaves_is_out_at_once(scene: Scene) -> None:
    scene.run.exchange.client_disconnected()
    assert scene.bench.outcomes == [("client_closed", 499)]
    assert scene.is_over()


def test_a_shutdown_ends_it(scene: Scene) -> None:
    scene.bench.services.deadlines.interrupt_all()
    assert scene.bench.outcomes == [("gateway_shutdown", 503)]
    assert scene.is_over()


def test_where_no_target_has_room_it_goes_on_waiting(scene: Scene) -> None:
    for target in scene.context.targets:
        target.state.condition.cool("rate_limit", 9.0, scene.waiter.since)
    assert not scene.waiter.try_start(scene.waiter.since + 1.0)
    assert (scene.members, scene.room.waiting) == (1, [scene.waiter])
