"""The switches of load shedding; what the listener does with them is in `test_overload`."""

from proxy.server.load_shedding import SheddingState


def test_nothing_is_shed_unless_a_monitor_says_so() -> None:
    state = SheddingState()
    assert (state.closing, state.paused, state.held) == (False, False, 0)
    assert state.last_descriptor > 1_000_000
    # Without a monitor and a listener these do nothing.
    state.reached()
    state.pause()


def test_each_listener_counts_its_own_bodies() -> None:
    assert SheddingState().bodies is not SheddingState().bodies
