"""The models that clients can name: each alias with its price, its limits and its targets. Connects nothing."""

import dataclasses
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.config.presets import PRESETS
from proxy.config.tree import Model, OnDisconnect, Server, split_target
from proxy.dialects import translate
from proxy.dialects.base import TargetTerms
from proxy.dialects.conversation import IDENTITY, Conversation
from proxy.ledger.pricing import CompiledPrice, compile_price
from proxy.routing.affinity import Affinity
from proxy.routing.alias_routing import AliasRouting
from proxy.routing.strategies import STRATEGIES
from proxy.upstream.pool import Pool
from proxy.upstream.target import Target, compile_targets
from proxy.upstream.target_state import TargetState, TargetStates


@dataclass(frozen=True, eq=False, slots=True)
class Alias:
    """A stable model name, compiled from `[models.ALIAS]`: what the exchange of a request needs to know of it."""

    name: str
    capability: str
    targets: tuple[Target, ...]
    price: CompiledPrice | None
    on_disconnect: OnDisconnect
    #: Seconds that a request may take in all, every attempt included.
    total_timeout: float = 3600.0
    #: Seconds without data after which a waiting event stream is sent a heartbeat; 0 is never.
    heartbeat_interval: float = 0.0
    #: Request fields that are removed for all of the targets, because one of them does not take them.
    client_ids: frozenset[str] = frozenset()
    #: None where the targets are tried in their order, each with one key.
    routing: AliasRouting | None = None
    #: What a target costs the operator, by "upstream/model"; of few targets it is known.
    costs: dict[str, CompiledPrice] = field(default_factory=dict)

    #: The targets by the dialect that their upstream speaks, in the order of fallback.
    by_dialect: dict[str, tuple[Target, ...]] = field(default_factory=dict)
    #: Targets that do not speak the caller's dialect, with the conversation that translates for them; and all targets
    #: that serve a (dialect, endpoint) with such among them, in the order of fallback.
    conversations: dict[Target, Conversation] = field(default_factory=dict)
    by_endpoint: dict[tuple[str, str], tuple[Target, ...]] = field(default_factory=dict)
    #: The callers' dialects in these.
    translated: set[str] = field(default_factory=set)
    #: Request fields that choose further models at any of the targets.
    choosing: frozenset[str] = field(default=frozenset(), init=False)
    choosing_in: frozenset[str] = field(default=frozenset(), init=False)
    #: Both.
    watched: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        for dialect in {dialect for target in self.targets for dialect in target.dialects}:
            self.by_dialect[dialect] = tuple(target for target in self.targets if dialect in target.dialects)
        object.__setattr__(self, "choosing", frozenset().union(*(target.choosing for target in self.targets)))
        object.__setattr__(self, "choosing_in", frozenset().union(*(target.choosing_in for target in self.targets)))
        object.__setattr__(self, "watched", self.choosing | self.choosing_in)

    def speaking(self, dialect: str, endpoint: str = "") -> tuple[Target, ...]:
        """The targets that serve an endpoint in the caller's dialect, in the order of fallback."""
        found = self.by_endpoint.get((dialect, endpoint)) if dialect in self.translated else None
        return self.by_dialect.get(dialect, ()) if found is None else found

    def translate(self, conversation: Conversation, model: Model) -> None:
        """Let targets that do not speak the caller's dialect serve it by this conversation, after those that do.

        `model` is the alias's configuration.
        """
        caller = conversation.caller
        native = tuple(one for one in self.targets if caller in one.dialects)
        translated = {
            dataclasses.replace(one, translates=True): conversation.bind(_terms(self.name, one, model))
            for one in self.targets
            if caller not in one.dialects and conversation.target in one.dialects
        }
        if translated:
            self.conversations.update(translated)
            serving = native + tuple(translated)
            self.translated.add(caller)
            self.by_endpoint.update({(caller, endpoint): serving for endpoint in conversation.endpoints})


def _terms(alias: str, target: Target, model: Model) -> TargetTerms:
    """What a translation needs to know of a target."""
    return TargetTerms(
        alias=alias,
        model=target.model,
        strict=model.translate == "strict",
        takes_stream_options=target.takes_stream_options,
        max_tokens_field=PRESETS[target.upstream.kind].max_tokens_field,
        max_output_tokens=model.max_output_tokens,
        reasoning=model.reasoning,
    )


def conversation_with(target: Target, alias: Alias) -> Conversation:
    """The conversation between an alias's target and callers whose requests it is chosen for."""
    return alias.conversations.get(target, IDENTITY)


def compile_alias(
    name: str,
    model: Model,
    pools: dict[str, Pool],
    server: Server,
    states: TargetStates | None = None,
    draw: Callable[[], float] = random.random,
) -> Alias:
    """Compile one `[models.ALIAS]`; what it does not set is as for the whole server.

    `states` are what is known of targets from before; `draw` gives random numbers from 0 up to 1.
    """
    states = states or TargetStates()
    targets = tuple(made for target in model.targets for made in compile_targets(target, pools, model, states, name))
    alias = Alias(
        name=name,
        capability=model.capability,
        targets=targets,
        price=compile_price(model.price, model.capability) if model.price is not None else None,
        on_disconnect=model.on_disconnect or server.on_disconnect,
        total_timeout=server.total_timeout if model.total_timeout is None else model.total_timeout,
        heartbeat_interval=server.heartbeat_interval if model.heartbeat_interval is None else model.heartbeat_interval,
        client_ids=frozenset().union(*(target.client_ids for target in targets)),
        routing=compile_routing(model, pools, targets, draw),
        costs={target: compile_price(cost, model.capability) for target, cost in model.costs.items()},
    )
    if model.translate != "off":
        for conversation in translate.CONVERSATIONS:
            alias.translate(conversation, model)
    return alias


def compile_routing(
    model: Model, pools: dict[str, Pool], targets: tuple[Target, ...], draw: Callable[[], float]
) -> AliasRouting | None:
    """The routing of an alias; None where there is nothing to choose and nothing to keep of its targets."""
    settings = model.routing
    keys = {target: len(pools[split_target(target)[0]].upstream.credentials) for target in model.targets}
    if settings is None and max(keys.values()) == 1:
        return None
    strategy = settings.strategy if settings is not None else "order"
    weights, costs, drained = _weights(model, keys, targets), _costs(model, targets), frozenset[str]()
    if strategy == "weighted" and settings is not None:
        drained = frozenset([one.label for one in targets if settings.weights.get(_name(one)) == 0])
    affinity = None
    if settings is not None and settings.sticky != "off":
        affinity = Affinity(weights, {target.state: target.label for target in targets}, settings.sticky)
    return AliasRouting(settings, STRATEGIES[strategy](weights, costs, draw), affinity, drained)


def _name(target: Target) -> str:
    """A target as the configuration has it, whichever of its upstream's keys it has."""
    return f"{target.pool.name}/{target.model}"


def _weights(model: Model, keys: dict[str, int], targets: tuple[Target, ...]) -> dict[TargetState, int]:
    """The share of each target: that of its "upstream/model", which the keys share alike."""
    settings, parts = model.routing, math.lcm(*keys.values())
    weighted = settings is not None and settings.strategy == "weighted"
    given = settings.weights if settings is not None and weighted else {}
    return {one.state: max(given.get(_name(one), 1), 1) * (parts // keys[_name(one)]) for one in targets}


def _costs(model: Model, targets: tuple[Target, ...]) -> dict[TargetState, tuple[float, float]]:
    """What an input and an output token costs at each target, in nano-dollars, of those whose costs are known."""
    found: dict[TargetState, tuple[float, float]] = {}
    for target in targets:
        cost = model.costs.get(_name(target))
        if cost is not None:
            price = compile_price(cost, model.capability)
            if price.input is not None:
                found[target.state] = (price.input / price.scale, (price.output or 0) / price.scale)
    return found
