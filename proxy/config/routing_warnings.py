"""Warnings about `[models.ALIAS.routing]`: what is set and cannot have the effect that it was set for. Pure."""

from collections.abc import Iterator

from proxy.config.presets import formats_of
from proxy.config.problems import ConfigWarning
from proxy.config.toml_positions import Path
from proxy.config.tree import Config, Hedge, Model, Queue, Routing, split_target


def routing_warnings(alias: str, model: Model, routing: Routing, config: Config) -> Iterator[ConfigWarning]:
    """All warnings about the routing of an alias."""
    path = ("models", alias, "routing")
    upstreams = {split_target(target)[0] for target in model.targets}
    choices = sum(len(config.upstreams[split_target(target)[0]].credentials) for target in model.targets)
    if choices == 1 and (routing.strategy != "order" or routing.sticky != "off"):
        name = "strategy" if routing.strategy != "order" else "sticky"
        yield (*path, name), "has nothing to choose: the alias has one target with one key", "add a target, or a key"
    if routing.weights and routing.strategy != "weighted":
        yield (*path, "weights"), f'are not used by strategy = "{routing.strategy}"', 'strategy = "weighted"'
    if routing.strategy == "cheapest":
        lacking = [target for target in model.targets if target not in model.costs]
        if lacking:
            what = f"cannot compare {', '.join(lacking[:4])}, whose costs are not known: tried last"
            yield (*path, "strategy"), what, f'[models.{alias}.costs."{lacking[0]}"]'
    if (
        routing.strategy == "order"
        and len(upstreams) < choices
        and len(model.targets) == 1
        and not _has_fallbacks(routing)
    ):
        what = "uses the second key of its upstream only when the first one is out"
        yield (*path, "strategy"), what, 'strategy = "least-busy" or "weighted" spreads requests over the keys'
    yield from _fallback_warnings(alias, model, routing, config)
    if routing.hedge is not None:
        yield from _hedge_warnings(model, routing.hedge, choices, config, (*path, "hedge"))
    if routing.queue is not None:
        yield from _queue_warnings(model, routing.queue, config, (*path, "queue"))


def queue_warnings(config: Config) -> Iterator[ConfigWarning]:
    """Settings outside of aliases that are about waiting requests."""
    for name, upstream in config.upstreams.items():
        if upstream.max_requests > upstream.max_connections:
            what = f"is never reached: there are {upstream.max_connections} connections, and each has one request"
            yield ("upstreams", name, "max_requests"), what, f"max_connections = {upstream.max_requests}"


def _hedge_warnings(model: Model, hedge: Hedge, choices: int, config: Config, path: Path) -> Iterator[ConfigWarning]:
    """Second attempts that are never made."""
    if model.capability not in _TEXT:
        what = f"has no effect: only chat, completions, messages and responses are hedged, not {model.capability}"
        yield path, what, "take it out"
    elif choices == 1:
        yield path, "has no effect: the alias has one target with one key", "add a target, or a key"
    elif (
        not hedge.across_prices and len({repr(model.costs.get(one)) for one in model.targets}) == len(model.targets) > 1
    ):
        yield path, "has no effect: each target has other costs", "across_prices = true"
    seconds = [_first_byte_timeout(model, config, target) for target in model.targets]
    if hedge.floor >= min(seconds):
        what = f"is not below first_byte_timeout ({min(seconds):g} s): an attempt without a response has ended by then"
        yield (*path, "floor"), what, "a lower floor, such as 0.3"


def _first_byte_timeout(model: Model, config: Config, target: str) -> float:
    return model.first_byte_timeout or config.upstreams[split_target(target)[0]].first_byte_timeout


def _queue_warnings(model: Model, queue: Queue, config: Config, path: Path) -> Iterator[ConfigWarning]:
    """Waits that cannot be as long, or queues that cannot be as full, as they are set."""
    total = model.total_timeout or config.server.total_timeout
    if queue.max_wait >= total:
        what = f"is not below total_timeout ({total:g} s): who waits so long has no time for a response"
        yield (*path, "max_wait"), what, "a shorter max_wait, or a longer total_timeout"
    if queue.max_waiting >= config.server.max_in_flight:
        what = (
            f"is never reached: a worker has {config.server.max_in_flight} requests under way, those that wait included"
        )
        yield (*path, "max_waiting"), what, "a lower max_waiting, or a higher server.max_in_flight"


def _has_fallbacks(routing: Routing) -> bool:
    found = routing.fallbacks
    return bool(found.context_window or found.content_policy or found.rate_limit)


def _fallback_warnings(alias: str, model: Model, routing: Routing, config: Config) -> Iterator[ConfigWarning]:
    """Fallbacks that cannot serve what the alias serves."""
    found = routing.fallbacks
    for cause, names in (
        ("context_window", found.context_window),
        ("content_policy", found.content_policy),
        ("rate_limit", found.rate_limit),
    ):
        for place, name in enumerate(names):
            other = config.models[name]
            path = ("models", alias, "routing", "fallbacks", cause, place)
            if other.capability != model.capability and not {model.capability, other.capability} <= _TEXT:
                what = f"is for {other.capability}, and its requests are for {model.capability}: never used"
                yield path, what, "name an alias of the same capability"
            elif missing := _formats(model, config) - _formats(other, config):
                what = f"does not speak the format of {' or '.join(sorted(missing))}: not used for such requests"
                yield path, what, "add a target that speaks it"
            if other.price is None and model.price is not None:
                yield path, "has no price: what it serves is unpriced", f"[models.{name}.price]"


_TEXT = frozenset({"chat", "vision", "realtime"})


def _formats(model: Model, config: Config) -> set[str]:
    return {one for target in model.targets for one in formats_of(config.upstreams[split_target(target)[0]])}
