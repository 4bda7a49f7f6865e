"""The order in which an alias's targets are tried. Pure, but for the upstreams' health that it reads.

A strategy is one function of this module: (targets in the configured order, monotonic now) -> the order to try them in.
It may not drop a target: an unhealthy one is better than none.
"""

from proxy.upstream.target import Target


def healthy_first(targets: tuple[Target, ...], now: float) -> tuple[Target, ...]:
    """Ordered fallback: the configured order, but targets of ejected upstreams come last."""
    healthy = [target.pool.health.may_try(now) for target in targets]
    first = [target for target, may_try in zip(targets, healthy, strict=True) if may_try]
    return (*first, *(target for target, may_try in zip(targets, healthy, strict=True) if not may_try))
