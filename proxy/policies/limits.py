"""Limits: how many requests, tokens and minutes of audio a key, its team, an alias or the gateway may use.

Two policies, because requests are counted before the body is read, and tokens when the alias is known. Each takes from
all limits in one pass, or from none; what was taken and not used is given back when the request is settled.
"""

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from proxy.auth.keys import Key
from proxy.config.tree import Limits, Model
from proxy.errors import InvalidRequest, Overloaded, RateLimited
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin
from proxy.ledger.record import UsageRecord
from proxy.limits.limiter import (
    CONCURRENT,
    OUTPUT_TOKENS,
    REQUESTS,
    TOKENS,
    Held,
    Limit,
    Limiter,
    Refusal,
)
from proxy.limits.lines import refusal_words, request_lines, running_words, tightest, token_lines
from proxy.limits.rules import Scope, alias_limits, request_limits, token_limits
from proxy.limits.worst_case import CAPS, CONFIGS, choices_of, number_in, output_cap_of
from proxy.native import mypyc_attr
from proxy.policies.base import GatewayState, Policy
from proxy.routing.models import Alias
from proxy.wire.request_body import text_bytes
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
#: From this size on a body is searched for base64 outside of data URLs.
_LARGE_BYTES: Final = 4_096
_BASE64: Final = (b'"base64"', b"inlineData", b"inline_data", b"input_audio")
#: Bytes of text for each space in it, at the most, where there is base64 beside.
_BYTES_PER_SPACE: Final = 16
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
        for held in context.reservations:
            if isinstance(held, Held):
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

    def take(self, context: RequestContext, limits: tuple[Limit, ...], needs: tuple[int, ...]) -> Held:
        """Take from all limits. Raises `RateLimited`; the response has the header lines then already."""
        held: Held | None = None
        # By hand, since it is done for every request: `held_of`.
        for one in context.reservations:
            if isinstance(one, Held):
                held = one
        if held is None:
            held = Held()
            context.reservations += (held,)
        refusal = self.limiter.take(limits, needs, held)
        if refusal is not None:
            raise self._refused(context, limits, refusal, held, needs)
        return held

    def _refused(
        self, context: RequestContext, limits: tuple[Limit, ...], refusal: Refusal, held: Held, needs: tuple[int, ...]
    ) -> RateLimited:
        limit, wait, now = refusal.limit, refusal.wait, held.now
        self._refusals.add(1, limit.label)
        add_lines(context, held, limits, refusal.levels)
        if limit.unit == CONCURRENT:
            wait = RETRY_RUNNING
            message = running_words(limit)
        else:
            tat = refusal.levels[limits.index(limit)]
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
            held = self.take(context, limits, _ONE_REQUEST)
            add_lines(context, held, limits, held.ends)
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
        if not limits:
            return None
        needs = _ONE_REQUEST if limits[-1].unit <= CONCURRENT else self._needs(context, alias, limits)
        held = self.take(context, limits, needs)
        add_lines(context, held, limits, held.ends[-len(limits) :])
        return None

    def may_serve(self, context: RequestContext, alias: Alias) -> bool:
        """Take from the limits of another alias what they have beyond those of its own; False where one refuses."""
        held = held_of(context)
        taken = [limit.digest for limit in held.limits] if held is not None else []
        limits = tuple([limit for limit in self._limits_for(context, alias) if limit.digest not in taken])
        if not limits:
            return True
        if held is None:
            held = Held()
            context.reservations += (held,)
        try:
            refusal = self.limiter.take(limits, self._needs(context, alias, limits), held)
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
        body = context.body
        means = self._means.get(alias.name)
        if body.data:
            given = self.state.ledger.estimator.estimate(context.key.id, alias.name, text_size(body.data), 0)[0]
        else:
            given = int(means[0]) if means is not None else 0
        name, cap = output_cap(context)
        if cap:
            for limit in limits:
                if limit.burst < cap and (limit.unit == TOKENS or limit.unit == OUTPUT_TOKENS):
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
        used = (final.input_tokens, final.output_tokens, final.audio_milliseconds)
        means = self._means.get(final.alias)
        if means is None:
            self._means[final.alias] = [float(one) for one in used]
        else:
            for at, one in enumerate(used):
                means[at] += (one - means[at]) / 16


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


def held_of(context: RequestContext) -> Held | None:
    """What a request has taken of its limits; None where it has none."""
    for one in context.reservations:
        if isinstance(one, Held):
            return one
    return None


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


def output_cap(context: RequestContext) -> tuple[str, int]:
    """The field that caps the output of a request, and the output tokens that it allows in all; 0 for no cap.

    Of several caps the highest counts: which of them a provider goes by is not known.
    """
    fields = context.body.fields
    cap = output_cap_of(fields)
    if not cap:
        return "", 0
    total = min(cap * choices_of(fields), MAX_COUNT)
    for name in CAPS:
        if name in fields and number_in(bytes(fields[name])) == cap:
            return name, total
    return f"{CONFIGS[0] if CONFIGS[0] in fields else CONFIGS[1]}.maxOutputTokens", total


def text_size(data: bytes) -> int:
    """About how many bytes of text a body has: without base64, which is no text to a model."""
    size = len(data)
    if data.rfind(b";base64,") >= 0:
        size = text_bytes(data)
    if size >= _LARGE_BYTES:
        for mark in _BASE64:
            if mark in data:
                return min(size, data.count(b" ") * _BYTES_PER_SPACE + _LARGE_BYTES)
    return size


def add_lines(context: RequestContext, held: Held, limits: tuple[Limit, ...], tats: list[int]) -> None:
    """Add the header lines about these limits; where there are some about requests already, the tighter ones stay."""
    dialect = context.dialect.name
    level = tightest(limits, tats, held.now, REQUESTS, REQUESTS)
    if level is not None and (held.remaining < 0 or level.remaining < held.remaining):
        at = time.time() if context.prism.has_own else 0.0
        lines = request_lines(level, at, dialect)
        context.lines = context.lines.replace(held.lines, b"") + lines if held.lines else context.lines + lines
        held.lines, held.remaining = lines, level.remaining
    if limits[-1].unit > CONCURRENT:
        context.lines += token_lines(limits, tats, held.now, dialect)


def _unit_of(limit: Limit) -> int:
    return limit.unit
