"""The order in which targets are tried."""

from proxy.routing.selection import healthy_first
from tests.routing.samples import eject, names, targets

NOW = 1e9 + 1


def test_healthy_targets_keep_the_configured_order() -> None:
    assert names(healthy_first(targets("a", "b", "c"), NOW)) == ["a", "b", "c"]


def test_targets_of_ejected_upstreams_come_last_in_their_order() -> None:
    all_ = targets("a", "b", "c")
    eject(all_[0])
    eject(all_[1])
    assert names(healthy_first(all_, NOW)) == ["c", "a", "b"]


def test_no_target_is_dropped_when_all_are_ejected() -> None:
    all_ = targets("a", "b")
    for target in all_:
        eject(target)
    assert names(healthy_first(all_, NOW)) == ["a", "b"]


def test_an_ejected_upstream_whose_time_is_over_has_its_place_again() -> None:
    all_ = targets("a", "b")
    eject(all_[0])
    assert names(healthy_first(all_, NOW + 3600)) == ["a", "b"]
