"""Power cuts in `durability = "power"`: what was acknowledged is there, once and right; and the trial would notice.

Few of them here; `make power` runs two thousand.
"""

import pytest

from proxy.config.tree import Durability
from tests.power.trial import trials


def test_a_power_cut_takes_nothing_that_was_acknowledged() -> None:
    found = dict(trials(range(1_000_000, 1_000_050)))
    assert sum(one.acknowledged for one in found.values()) > 500
    assert {seed: one for seed, one in found.items() if not one.good} == {}


@pytest.mark.parametrize(
    ("durability", "deaf"),
    [("power", "journal"), ("power", "database"), ("power", "names"), ("process", "")],
)
def test_without_any_one_of_the_syncs_it_takes_some(durability: Durability, deaf: str) -> None:
    found = trials(range(1_000_000, 1_000_040), durability=durability, deaf=deaf)
    assert any(one.lost for _, one in found)
