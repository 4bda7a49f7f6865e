"""Limits: how many requests, tokens and minutes of audio a key, its team, an alias or the gateway may use.

Two policies, because requests are counted before the body is read, and tokens when the alias is known. Each takes from
all limits in one pass, or from none; what was taken and not used is given back when the request is settled.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from proxy.auth.keys import Key
from proxy.config.tree import Limits, Model
from proxy.errors import InvalidRequest, Overloaded, RateLimited
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin
from proxy.ledger.record import UsageRecord
from proxy.limits.limiter import CONCURRENT, OUTPUT_TOKENS, TOKENS, Limit, Limiter, Refusal
from proxy.limits.lines import refusal_words, running_words
from proxy.limits.rules import Scope, alias_limits, request_limits, token_limits
from proxy.limits.worst_case import CAPS, CONFIGS, number_in
from proxy.native import mypyc_attr
from proxy.policies.base import GatewayState, Policy
from proxy.routing.models import Alias
from proxy.wire.schemas import MAX_COUNT

#: Keys whose limits are kept compiled.
MAX_KEYS: Final = 20_000
#: What a request is expected to use before anything is learned of its alias: output tokens of text, milliseconds.
INITIAL_OUTPUT_TOKENS: Final = 256
INITIAL_AUDIO: Final = 60_000
#: Nanoseconds after which a request that found too many running may try again.
RETRY_RUNNING: Final = 1_000_000_000
_WRITERS: Final = frozenset({"chat", "vision", "realtime", "search", "ocr"})
_ONE_REQUEST: Final = (1, 1, 0, 0, 0, 0)
_NOTHING: Final = (0, 0, 0, 0, 0, 0)
_ACCOUNTS: Final = MappingProxyType({"key": "this key", "team": "this key's team", "org": "this key's organisation"})


class KeyLimits:
    """The limits of one key, compiled when they were first needed."""

    def __init__(self, key: Key) -> None:
        self.key = key
        #: Each with whom it is for.
        self.scopes: list[tuple[Scope, Limits]] = []
        self.general: tuple[Limit, ...] = ()
        #: For each alias that it has used: `general`, and those of the alias.
        self.by_alias: dict[str, tuple[Limit, ...]] = {}


@mypyc_attr(allow_interpreted_subclasses=True)
class LimitPolicy(Policy):
    """What the two policies have in common: the limits of each key, and the end of a request."""

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        self.limiter = Limiter(state.counters)
        self._config = state.config
        self._keys: dict[str, KeyLimits] = {}
        help = "Requests that a limit has refused."
        self._refusals = state.metrics.counter("prometheus_gateway_limit_refusals_total", help, "limit")

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        held = context.held
        if held is not None and not held.is_settled:
            self.limiter.settle(held, used_by(context, final))

    def limits_of(self, key: Key) -> KeyLimits:
        """The limits of a key, those of its team and its organisation, and those of the gateway."""
        if self._config is not self.state.config:
            self._config, self._keys = self.state.config, {}
        found = self._keys.get(key.id)
        if found is None or (found.key is not key and found.key != key):
            if len(self._keys) >= MAX_KEYS:
                self._keys = {}
            found = self._keys[key.id] = KeyLimits(key)
            self._compile(found, key)
        return found

    def _compile(self, found: KeyLimits, key: Key) -> None:
        found.scopes = scopes_of(key, self._config.limits)
        found.general = tuple([limit for scope, one in found.scopes for limit in self.general_limits(one, scope)])

    def general_limits(self, limits: Limits, scope: Scope) -> list[Limit]:
        """Those that hold for all aliases."""
        raise NotImplementedError

    def take(self, context: RequestContext, limits: tuple[Limit, ...], needs: tuple[int, ...]) -> None:
        """Take from all limits. Raises `RateLimited`."""
        held = context.held or context.hold()
        refusal = self.limiter.take(limits, needs, held)
        if refusal is not None:
            held.refusal = refusal
            raise self._refused(refusal, held.now, needs)

    def _refused(self, refusal: Refusal, now: int, needs: tuple[int, ...]) -> RateLimited:
        limit, wait = refusal.limit, refusal.wait
        self._refusals.add(1, limit.label)
        if limit.unit == CONCURRENT:
            wait = RETRY_RUNNING
            message = running_words(limit)
        else:
            tat = refusal.levels[refusal.limits.index(limit)]
            needed = min(needs[limit.unit], limit.burst)
            message = refusal_words(limit, limit.remaining(tat, now), max(tat - now, 0), wait, needed)
        milliseconds = -(-wait // 1_000_000)
        headers = {"retry-after": str(-(-milliseconds // 1_000)), "retry-after-ms": str(milliseconds)}
        return RateLimited(message, type="requests" if limit.unit <= CONCURRENT else "tokens", headers=headers)


class RequestLimitPolicy(LimitPolicy):
    """Counts requests, and those that run, before a body is read. What is refused later is given back."""

    before_body: ClassVar[bool] = True

    def is_enabled(self) -> bool:
        limits = self.state.config.limits.values()
        return self.state.has_accounts or any(bool(one.requests or one.concurrent) for one in limits)

    def general_limits(self, limits: Limits, scope: Scope) -> list[Limit]:
        return request_limits(limits, scope)

    def admit(self, context: RequestContext) -> Origin | None:
        """Raises `RateLimited`, and `Overloaded` where there is no room for another key."""
        limits = self.limits_of(context.key).general
        if limits:
            self.take(context, limits, _ONE_REQUEST)
        return None


class TokenLimitPolicy(LimitPolicy):
    """Reserves tokens and audio, and counts the requests for an alias. What is reserved is an estimate."""

    checks_resources: ClassVar[bool] = False

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        #: By alias: input tokens, output tokens and milliseconds of audio that a request of it uses.
        self._means: dict[str, list[float]] = {}

    def is_enabled(self) -> bool:
        state = self.state
        if state.has_accounts or any(model.limits is not None for model in state.config.models.values()):
            return True
        return any(has_token_limits(one) or bool(one.models) for one in state.config.limits.values())

    def general_limits(self, limits: Limits, scope: Scope) -> list[Limit]:
        return token_limits(limits, scope)

    def admit(self, context: RequestContext) -> Origin | None:
        """Raises `RateLimited`, `InvalidRequest` for what could never pass, and `Overloaded` where there is no room for
        another key."""
        alias = context.alias
        assert alias is not None
        # By hand, since it is done for every request: `_limits_for`.
        rules = self.limits_of(context.key)
        limits = rules.by_alias.get(alias.name)
        if limits is None:
            limits = rules.by_alias[alias.name] = self._for_alias(rules, alias.name)
        if limits:
            needs = _ONE_REQUEST if limits[-1].unit <= CONCURRENT else self._needs(context, alias, limits)
            self.take(context, limits, needs)
        return None

    def may_serve(self, context: RequestContext, alias: Alias) -> bool:
        """Take from the limits of another alias what they have beyond those of its own; False where one refuses."""
        taken = [limit.digest for limit in context.held.limits] if context.held is not None else []
        limits = tuple([limit for limit in self._limits_for(context, alias) if limit.digest not in taken])
        if not limits:
            return True
        try:
            refusal = self.limiter.take(limits, self._needs(context, alias, limits), context.hold())
        except (InvalidRequest, Overloaded):
            return False
        if refusal is not None:
            self._refusals.add(1, refusal.limit.label)
        return refusal is None

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        if final.outcome == "complete" and final.usage_source == "reported":
            self._learn(final)
        super().settled(context, final)

    def _limits_for(self, context: RequestContext, alias: Alias) -> tuple[Limit, ...]:
        rules = self.limits_of(context.key)
        limits = rules.by_alias.get(alias.name)
        if limits is None:
            limits = rules.by_alias[alias.name] = self._for_alias(rules, alias.name)
        return limits

    def _for_alias(self, rules: KeyLimits, alias: str) -> tuple[Limit, ...]:
        """All limits that are looked at when the alias is known, those of requests first."""
        found = list(rules.general)
        for scope, one in rules.scopes:
            found += alias_limits(one, scope, alias)
        model = self._config.models.get(alias)
        if model is not None:
            found += model_limits(alias, model)
        return tuple(sorted(found, key=_unit_of))

    # estimates

    def _needs(self, context: RequestContext, alias: Alias, limits: tuple[Limit, ...]) -> tuple[int, ...]:
        """What a request is expected to use. Raises `InvalidRequest` where its cap is more than a limit ever allows."""
        means = self._means.get(alias.name)
        size = context.size_at(alias.name, self.state.ledger.estimator)
        given = size.input_tokens
        if not context.body.data and means is not None:
            given = int(means[0])
        if size.output_cap:
            cap = min(size.output_cap * size.choices, MAX_COUNT)
            for limit in limits:
                if limit.burst < cap and (limit.unit == TOKENS or limit.unit == OUTPUT_TOKENS):
                    name = cap_name(context.body.fields, size.output_cap)
                    raise InvalidRequest(
                        f"`{name}` allows {cap} output tokens, more than the limit of {limit.words} lets through at "
                        f"once, which is {limit.burst}. Ask for at most {limit.burst}.",
                        param=name,
                    )
            produced = cap
        elif means is not None:
            produced = int(means[1])
        else:
            produced = INITIAL_OUTPUT_TOKENS if alias.capability in _WRITERS else 0
        audio = 0
        if context.spec.unit == "audio":
            audio = int(means[2]) if means is not None and means[2] else INITIAL_AUDIO
        return 1, 1, given + produced, given, produced, audio

    def _learn(self, final: UsageRecord) -> None:
        """Follow about the last sixteen requests of an alias."""
        given, produced, audio = final.input_tokens, final.output_tokens, final.audio_milliseconds
        means = self._means.get(final.alias)
        if means is None:
            self._means[final.alias] = [float(given), float(produced), float(audio)]
            return
        means[0] += (given - means[0]) / 16
        means[1] += (produced - means[1]) / 16
        means[2] += (audio - means[2]) / 16


def scopes_of(key: Key, limits: Mapping[Literal["default", "global"], Limits]) -> list[tuple[Scope, Limits]]:
    """The limits that hold for a key, each with whom it is for; `limits` are those of the configuration."""
    found: list[tuple[Scope, Limits]] = []
    own = False
    for account in key.accounts:
        if account.limits is not None:
            own = own or account.kind == "key"
            words = _ACCOUNTS[account.kind]
            found.append((Scope(account.kind, f"{account.kind}:{account.id}", words), account.limits))
    if not own and "default" in limits:
        found.append((Scope("key", f"key:{key.id}", _ACCOUNTS["key"]), limits["default"]))
    if "global" in limits:
        found.append((Scope("global", "global", "this gateway"), limits["global"]))
    return found


def model_limits(alias: str, model: Model) -> list[Limit]:
    """The limits of an alias, for all keys together."""
    if model.limits is None:
        return []
    scope = Scope("model", f"model:{alias}", f"the model `{alias}`")
    return request_limits(model.limits, scope) + token_limits(model.limits, scope)


def has_token_limits(limits: Limits) -> bool:
    """Whether there is a limit of tokens or of audio."""
    return bool(limits.tokens or limits.input_tokens or limits.output_tokens or limits.audio_minutes)


def used_by(context: RequestContext, final: UsageRecord) -> tuple[int, ...] | None:
    """What a settled request has used of each unit, -1 where that is not known; None where nothing of it is.

    A request that the gateway has refused, or that has reached no upstream, has used nothing.
    """
    outcome = final.outcome
    if outcome == "refused" or (final.attempts == 0 and outcome != "complete"):
        return _NOTHING
    if outcome == "interrupted":
        return None
    given, produced, audio = final.input_tokens, final.output_tokens, final.audio_milliseconds
    if context.upload is not None and context.spec.unit == "audio" and not audio:
        length = context.upload.milliseconds
        audio = length if length is not None else -1
    return 1, 1, given + produced, given, produced, audio


def cap_name(fields: Mapping[str, Any], cap: int) -> str:
    """The field of a body that caps the output at so many tokens."""
    for name in CAPS:
        if name in fields and number_in(bytes(fields[name])) == cap:
            return name
    return f"{CONFIGS[0] if CONFIGS[0] in fields else CONFIGS[1]}.maxOutputTokens"


def _unit_of(limit: Limit) -> int:
    return limit.unit
