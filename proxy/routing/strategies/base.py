"""The base class of strategies, and what they may know of a request. A strategy connects nothing, and never waits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.native import mypyc_attr
from proxy.upstream.target import Target
from proxy.upstream.target_state import TargetState


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a strategy may know of the request that a target is chosen for: the size that it is likely to have."""

    input_tokens: int = 0
    output_tokens: int = 0


@mypyc_attr(allow_interpreted_subclasses=True)
class Strategy:
    """Chooses which target of an alias is tried first. One object per alias, which a reload replaces.

    It overrides `choose`. Targets that are one "upstream/model" with one key have the same `state`, whatever format
    they are used in: what is kept by target is kept by that.
    """

    #: It needs an estimate of the request.
    estimates = False

    def __init__(
        self,
        weights: Mapping[TargetState, int],
        costs: Mapping[TargetState, tuple[float, float]],
        random: Callable[[], float],
    ) -> None:
        """`weights` are the shares of the targets, all above 0; `costs` what an input and an output token costs, of
        those whose costs are known. `random` gives numbers from 0 up to 1."""
        self.weights = weights
        self.costs = costs
        self.random = random

    def choose(self, targets: tuple[Target, ...], estimate: Estimate, now: float) -> Target:
        """The target to try first, of two or more that may be tried. `now` is in monotonic seconds."""
        raise NotImplementedError
