"""The states of targets outlive a reload, but for what a changed upstream makes void."""

from proxy.config.tree import Upstream
from proxy.upstream.target_state import TargetStates


def test_a_target_keeps_its_state() -> None:
    states, upstream = TargetStates(), Upstream(base_url="http://a", api_key="one")
    assert states.state("core", "a/x", 0, upstream) is states.state("core", "a/x", 0, upstream)


def test_each_alias_and_each_key_has_its_own() -> None:
    states, upstream = TargetStates(), Upstream(base_url="http://a", api_key="one")
    found = {id(states.state(*name, upstream)) for name in (("core", "a/x", 0), ("core", "a/x", 1), ("mini", "a/x", 0))}
    assert len(found) == 3


def test_a_changed_upstream_ends_what_it_was_out_for_and_keeps_what_was_measured() -> None:
    states = TargetStates()
    state = states.state("core", "a/x", 0, Upstream(base_url="http://a", api_key="one"))
    state.condition.cool("credential", 600.0, 0.0)
    state.latency.observe(1.0, 0.0)
    again = states.state("core", "a/x", 0, Upstream(base_url="http://a", api_key="two"))
    assert (again.condition.out, again.latency.peak) == (False, 1.0)
