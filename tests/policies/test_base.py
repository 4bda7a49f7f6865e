"""Policy: each of its methods is optional, and one that is not overridden takes no part."""

import asyncio

from proxy.dialects.openai_chat import CHAT
from proxy.exchange.context import EndpointSpec, RequestContext
from proxy.policies.admission import Plan, overrides
from proxy.policies.base import WAIT, Policy
from tests.serving import idle_state

STATE = idle_state()
CONTEXT = RequestContext(EndpointSpec("/v1/chat/completions", CHAT), id="req_1", started=0, arrived=0.0)


class Early(Policy):
    before_body = True

    def admit(self, context: RequestContext) -> None:
        """Let all pass."""


class Late(Policy):
    checks_resources = False

    async def admit_async(self, context: RequestContext) -> None:
        """Let all pass."""


def test_a_policy_without_methods_takes_no_part() -> None:
    policy = Policy(STATE)
    plan = Plan((policy,), resources=False)
    assert (plan.checks, plan.settlers) == ((), ())
    assert policy.admit(CONTEXT) is WAIT, "so that one with `admit_async` alone is awaited"
    assert asyncio.run(policy.admit_async(CONTEXT)) is None


def test_what_needs_no_body_runs_first_and_all_of_it_for_resources() -> None:
    late, early = Late(STATE), Early(STATE)
    plan = Plan((late, early), resources=False)
    assert (plan.checks, plan.before_body) == ((early, late), 1)
    plan = Plan((late, early), resources=True)
    assert (plan.checks, plan.before_body) == ((early,), 1)


def test_an_overridden_method_is_seen_through_a_subclass() -> None:
    class Further(Late):
        pass

    assert overrides(Further(STATE), "admit_async")
    assert not overrides(Further(STATE), "admit")
