"""What is known of one target of an alias, with one key of its upstream: its load, its speed and its condition.

Values and counts; it chooses nothing. It outlives a reload, so that a change of the configuration forgets nothing.
"""

from proxy.upstream.condition import Condition
from proxy.upstream.latency import Latency


class TargetState:
    """The state of one target. All targets that are made of one "upstream/model" for one alias and key share it."""

    __slots__ = ("condition", "in_flight", "last_error", "latency")

    def __init__(self) -> None:
        #: Requests that it has now, those that wait for a connection included.
        self.in_flight = 0
        self.latency = Latency()
        self.condition = Condition()
        #: Why its last failed attempt failed, without a provider's words; empty before.
        self.last_error = ""


class TargetStates:
    """The states of all targets of a gateway."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str, int], tuple[object, TargetState]] = {}

    def state(self, alias: str, target: str, place: int, upstream: object) -> TargetState:
        """The state of a target, by its alias, "upstream/model" and the place of its key.

        `upstream` are the settings of its upstream: where these have changed, what it was out for is over.
        """
        name = (alias, target, place)
        found = self._states.get(name)
        if found is None:
            found = (upstream, TargetState())
        elif found[0] != upstream:
            found[1].condition = Condition()
        self._states[name] = (upstream, found[1])
        return found[1]
