"""Admission: the key, then every policy in one order, once per request; and who is notified when the request has ended.

One object per gateway, which a reload does not replace. It serves inference and resource endpoints alike, and never
starts over: a request that has to wait goes on from where it stopped. It writes nothing to the client.
"""

import logging
from collections.abc import Iterable

from proxy.auth.credentials import lookup_key
from proxy.auth.key_index import KeyIndex
from proxy.auth.keys import Key
from proxy.errors import GatewayError, InternalFault, StoreFailed, UnknownKey
from proxy.exchange.context import ANONYMOUS, RequestContext
from proxy.exchange.exchange import end_observers
from proxy.exchange.response_head import outcome_of
from proxy.exchange.settlement import refused_record
from proxy.ledger.record import UsageRecord
from proxy.policies.base import WAIT, GatewayState, Policy
from proxy.routing.models import Alias

_log = logging.getLogger(__name__)


class Admission:
    """Admits requests, refuses them, and passes their settlement on to the policies that admitted them."""

    def __init__(self, state: GatewayState, keys: KeyIndex, policies: Iterable[Policy]) -> None:
        self.state = state
        self._keys = keys
        self._policies = tuple(policies)
        self.reconfigure()

    def reconfigure(self) -> None:
        """Keep the policies that are enabled now for new requests: the configuration or the keys have changed."""
        enabled = tuple([policy for policy in self._policies if policy.is_enabled()])
        self._inference = Plan(enabled, resources=False)
        self._resources = Plan(enabled, resources=True)

    # the key

    def authenticate(self, digests: tuple[bytes, ...], now: float) -> Key | None:
        """The key that has one of these secrets, at `now` in seconds since 1970; None where `authenticate_async` may
        find it.

        Raises `AuthenticationFailed` for an unknown one, and `InvalidRequest` for two different keys.
        """
        if len(digests) == 1:
            # As nearly always.
            key = self._keys.lookup(digests[0], now)
            if key is not None:
                return key
        try:
            return lookup_key(self._keys, digests, now)
        except UnknownKey:
            if not self._keys.may_catch_up:
                raise
            return None

    async def authenticate_async(self, digests: tuple[bytes, ...], now: float) -> Key:
        """The same, after a look at what has changed if need be."""
        key = self.authenticate(digests, now)
        if key is None:
            await self._keys.catch_up()
            key = lookup_key(self._keys, digests, now)
        return key

    # the policies

    def admit_head(self, context: RequestContext) -> bool:
        """Run the policies that need no body; False where one has to `wait`. Raises `GatewayError`.

        Of a resource request these are all policies.
        """
        plan: Plan | None = context.plan
        if plan is None:
            plan = context.plan = self._resources if context.spec.is_resource else self._inference
        checks, at, until = plan.checks, context.admitted, plan.before_body
        while at < until:
            result = checks[at].admit(context)
            if result is not None:
                if result is WAIT:
                    return False
                raise _cannot_respond(checks[at])
            context.admitted = at = at + 1
        return True

    def is_past_head(self, context: RequestContext) -> bool:
        """Whether all policies that need no body have admitted the request."""
        plan: Plan | None = context.plan
        return plan is not None and context.admitted >= plan.before_body

    def admit(self, context: RequestContext) -> bool:
        """Run the policies that remain; False where one has to `wait`. Raises `GatewayError`.

        `context.origin` is then the origin that answers, where a policy returned one.
        """
        plan: Plan | None = context.plan
        if plan is None:
            plan = context.plan = self._resources if context.spec.is_resource else self._inference
        checks, at, until = plan.checks, context.admitted, plan.count
        while at < until and context.origin is None:
            result = checks[at].admit(context)
            if result is not None:
                if result is WAIT:
                    return False
                if at < plan.before_body:
                    raise _cannot_respond(checks[at])
                context.origin = result
            context.admitted = at = at + 1
        return True

    async def wait(self, context: RequestContext) -> None:
        """Await the policy at which the request stopped; `admit_head` or `admit` then goes on behind it."""
        plan: Plan = context.plan
        policy = plan.checks[context.admitted]
        origin = await policy.admit_async(context)
        if origin is not None:
            if context.admitted < plan.before_body:
                raise _cannot_respond(policy)
            context.origin = origin
        context.admitted += 1

    async def admit_async(self, context: RequestContext) -> None:
        """Run all policies of a resource request, waiting where one has to. Raises `GatewayError`."""
        while not self.admit(context):
            await self.wait(context)
        if context.observers:
            # Better no response than one that a guardrail was to see and has not seen.
            _log.error("A policy added an observer to %s, where none can look on.", context.endpoint)
            raise InternalFault()

    def may_serve(self, context: RequestContext, alias: Alias) -> bool:
        """Whether every policy that admitted a request lets another alias serve it in place of its own."""
        plan: Plan | None = context.plan
        if plan is None:
            return False
        admitted = context.admitted
        for place, policy in plan.by_alias:  # noqa: SIM110 (a generator costs more, and a list would take from all)
            if place < admitted and not policy.may_serve(context, alias):
                return False
        return True

    # the end

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        """The request has its bill: pass it to every policy that admitted it. Called once for each request."""
        plan: Plan | None = context.plan
        if plan is None:
            # Refused before any policy ran.
            plan = self._resources if context.spec.is_resource else self._inference
        admitted = context.admitted
        for place, policy in plan.settlers:
            if place < admitted:
                try:
                    policy.settled(context, final)
                except Exception as fault:  # noqa: BLE001 (one policy's fault must not keep the others uninformed)
                    _log.error("A policy failed after a request.", exc_info=fault)

    def attempt_lost(self, context: RequestContext, row: UsageRecord) -> None:
        """The request has a further row: pass it to every policy that admitted the request."""
        plan: Plan = context.plan
        admitted = context.admitted
        for place, policy in plan.row_readers:
            if place < admitted:
                try:
                    policy.attempt_lost(context, row)
                except Exception as fault:  # noqa: BLE001 (as in `settled`)
                    _log.error("A policy failed after an attempt.", exc_info=fault)

    def attempt_failed(self, context: RequestContext, target: str, error: GatewayError) -> None:
        """An attempt of the request has failed: pass it to every policy that admitted the request."""
        plan: Plan | None = context.plan
        if plan is None:
            return
        admitted = context.admitted
        for place, policy in plan.attempt_readers:
            if place < admitted:
                try:
                    policy.attempt_failed(context, target, error)
                except Exception as fault:  # noqa: BLE001 (as in `settled`)
                    _log.error("A policy failed after an attempt.", exc_info=fault)

    def close(self) -> None:
        """The gateway has stopped: have every policy end what it has begun."""
        for policy in self._policies:
            policy.close()

    def refuse(self, context: RequestContext, error: GatewayError) -> GatewayError:
        """Settle a request that ends before it reached an origin; return the error that its client is to get.

        It has a row if its key is known; where that cannot be written the client gets `StoreFailed`.
        """
        final = self._refused(context, error)
        if context.key is not ANONYMOUS and not isinstance(error, StoreFailed):
            try:
                self.state.ledger.journal.append(final)
            except StoreFailed as failure:
                error = failure
                final = self._refused(context, error)
        self.settled(context, final)
        end_observers(context, final, whole=False)
        return error

    def _refused(self, context: RequestContext, error: GatewayError) -> UsageRecord:
        name = context.body.model
        # A client could send anything: what is no name of the configuration is stored apart.
        alias = name if name in context.aliases else ""
        return refused_record(context, alias, outcome_of(error), error.status, error.code)


class Plan:
    """The policies of one kind of endpoint: those that admit, in order, and those that follow them to the end."""

    def __init__(self, policies: tuple[Policy, ...], resources: bool) -> None:
        kept = [policy for policy in policies if policy.checks_resources or not resources]
        checks = [policy for policy in kept if overrides(policy, "admit") or overrides(policy, "admit_async")]
        early = [policy for policy in checks if policy.before_body]
        self.checks = (*early, *(policy for policy in checks if not policy.before_body))
        self.count = len(self.checks)
        #: How many of the checks run before the request body is read.
        self.before_body = self.count if resources else len(early)
        self.settlers = self._overriding(kept, "settled")
        self.row_readers = self._overriding(kept, "attempt_lost")
        self.by_alias = self._overriding(kept, "may_serve")
        self.attempt_readers = self._overriding(kept, "attempt_failed")

    def _overriding(self, policies: list[Policy], name: str) -> tuple[tuple[int, Policy], ...]:
        """(place among the checks, or -1 for a policy that admits everything; the policy) of those with the method."""
        return tuple(
            [
                (self.checks.index(policy) if policy in self.checks else -1, policy)
                for policy in policies
                if overrides(policy, name)
            ]
        )


def _cannot_respond(policy: Policy) -> InternalFault:
    """The end of a request to which a policy wants an origin to respond where none can."""
    _log.error(
        "%s returned an origin, which can respond neither at resource endpoints nor before the body is read.",
        type(policy).__name__,
    )
    return InternalFault()


def overrides(policy: Policy, name: str) -> bool:
    """Whether a policy has a method of its own, and not that of the base class."""
    return getattr(type(policy), name) is not getattr(Policy, name)
