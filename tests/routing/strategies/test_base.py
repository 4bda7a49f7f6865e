"""The base of strategies: what one must do itself."""

import pytest

from proxy.routing.strategies.base import Estimate, Strategy
from tests.routing.samples import Dice, targets


def test_a_strategy_chooses_itself() -> None:
    with pytest.raises(NotImplementedError):
        Strategy({}, {}, Dice()).choose(targets("a", "b"), Estimate(), 0.0)
