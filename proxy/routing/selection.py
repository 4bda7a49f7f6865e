"""The order in which an alias's targets are tried. Pure, but for their health and condition, which it reads.

What is unhealthy comes last and is never dropped: it is better than none.
"""

from proxy.upstream.target import Target


def may_try(target: Target, now: float) -> bool:
    """Whether a target gets requests as others do: neither its upstream is ejected nor it itself is out."""
    return target.pool.health.may_try(now) and target.state.condition.may_try(now)


def usable(targets: tuple[Target, ...], now: float) -> tuple[Target, ...]:
    """Those that may be tried; all of them where none may."""
    for target in targets:
        if target.pool.health.ejected or target.state.condition.out:
            return tuple([one for one in targets if may_try(one, now)]) or targets
    # As nearly always.
    return targets


def healthy_first(targets: tuple[Target, ...], now: float) -> tuple[Target, ...]:
    """Ordered fallback: the configured order, but those that are ejected or cool down come last."""
    healthy = [may_try(target, now) for target in targets]
    first = [target for target, is_healthy in zip(targets, healthy, strict=True) if is_healthy]
    return (*first, *(target for target, is_healthy in zip(targets, healthy, strict=True) if not is_healthy))
