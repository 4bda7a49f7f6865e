"""The routing of one alias: its strategy, its sticky sessions and the aliases that stand in for it.

It puts the targets of a request into the order in which they are tried. It makes no attempt and knows no exchange.
"""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from proxy.config.tree import Routing
from proxy.routing.affinity import Affinity
from proxy.routing.selection import may_try, usable
from proxy.routing.strategies.base import Estimate, Strategy
from proxy.upstream.target import Target

#: Of a request of which nothing is known: costs of input and of output count alike.
NO_ESTIMATE: Final = Estimate(1, 1)
#: Output tokens that a response is taken to have before any was seen, and the weight of a new one in their mean.
MEAN_OUTPUT_TOKENS: Final = 256.0
OUTPUT_WEIGHT: Final = 0.05


class AliasRouting:
    """Orders the targets of one alias for each request."""

    def __init__(
        self,
        settings: Routing | None,
        strategy: Strategy,
        affinity: Affinity | None,
        drained: frozenset[str],
        now: Callable[[], float] = monotonic,
    ) -> None:
        """Without `settings` the alias has several keys and no routing of its own. `drained` are the labels of targets
        that get no new requests; `now` gives monotonic seconds."""
        self.strategy = strategy
        #: What keeps sessions together; None where nothing does.
        self.affinity = affinity
        self.now = now
        #: The header line that names the strategy.
        self.line = f"X-Prism-Routing-Strategy: {settings.strategy}\r\n" if settings is not None else ""
        #: The aliases that serve in place of this one, by the cause for which it could not.
        self.fallbacks: Mapping[str, tuple[str, ...]] = _fallbacks(settings)
        #: Seconds for which a request may wait for a provider's rate limit.
        self.max_wait = settings.queue.max_wait if settings is not None and settings.queue is not None else 0.0
        self._drained = drained
        #: The strategy and the stickiness as the configuration has them, for metrics.
        self.names = (settings.strategy, settings.sticky) if settings is not None else ("order", "off")
        #: Output tokens that a response has on average.
        self.mean_output = MEAN_OUTPUT_TOKENS
        #: Whether there is anything to choose: else the targets are tried in their order.
        self.chooses = settings is not None and (settings.strategy != "order" or affinity is not None)

    def order(
        self, targets: tuple[Target, ...], estimate: Estimate = NO_ESTIMATE, session: int = 0
    ) -> tuple[Target, ...]:
        """The same targets, without those that are drained, in the order to try them in.

        `session` is what `Affinity.of` gives for the request, 0 for none.
        """
        if self._drained:
            targets = tuple([one for one in targets if one.label not in self._drained]) or targets
        if not self.chooses or len(targets) == 1:
            return targets
        now = self.now()
        found = usable(targets, now)
        if len(found) == 1:
            chosen = found[0]
        elif session and self.affinity is not None:
            chosen = self.affinity.choose(found, session, now)
        else:
            chosen = self.strategy.choose(found, estimate, now)
        return targets if chosen is targets[0] else (chosen, *[one for one in targets if one is not chosen])

    def note_output(self, tokens: int) -> None:
        """Learn from a response how many tokens they have."""
        self.mean_output += (tokens - self.mean_output) * OUTPUT_WEIGHT

    def second(self, targets: tuple[Target, ...], first: Target) -> Target | None:
        """The target for a second attempt beside a running one at `first`, of a request with these targets.

        It is the strategy's choice of those that may be tried; None where there is none.
        """
        now = self.now()
        found = tuple([one for one in targets if one.state is not first.state and may_try(one, now)])
        if len(found) < 2:
            return found[0] if found else None
        return self.strategy.choose(found, NO_ESTIMATE, now)


def _fallbacks(settings: Routing | None) -> dict[str, tuple[str, ...]]:
    if settings is None:
        return {}
    found = settings.fallbacks
    pairs = (
        ("context_window", found.context_window),
        ("content_policy", found.content_policy),
        ("rate_limit", found.rate_limit),
    )
    return {cause: tuple(names) for cause, names in pairs if names}
