"""HedgePolicy: which requests get an origin that may make a second attempt, and what a reload keeps."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.app import Gateway
from proxy.config.tree import Hedge, Routing
from proxy.exchange.hedged_origin import HedgedOrigin
from proxy.policies.base import Policy
from proxy.policies.hedge import HedgePolicy
from tests.exchange.samples import JSON_ANSWER, question
from tests.fakes import ScriptedUpstream, json_answer
from tests.serving import ALIAS, KEY, RunningGateway, simple_config


def origins_of(
    folder: Path, path: str, body: Mapping[str, Any], *, upstreams: int = 2, hedge: Hedge | None = None
) -> list[object]:
    """The origins that policies chose for one request."""
    seen: list[object] = []

    class Seen(Policy):
        checks_resources = False

        def settled(self, context: Any, final: Any) -> None:
            seen.append(context.origin)

    with ScriptedUpstream(lambda _: json_answer(JSON_ANSWER)) as upstream:
        urls = [upstream.base_url] * upstreams
        config = simple_config(folder, *urls, model={"routing": Routing(hedge=hedge)})
        with RunningGateway(config, Seen) as gateway, gateway.client() as client:
            headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
            client.request("POST", path, json.dumps(body).encode(), headers)
            client.read_answer()
    return seen


@pytest.mark.parametrize(
    ("path", "upstreams", "hedged"),
    [
        ("/v1/chat/completions", 2, True),
        ("/v1/completions", 2, True),
        ("/v1/chat/completions", 1, False),
        ("/v1/count_tokens", 2, False),
    ],
)
def test_who_is_hedged(tmp_path: Path, path: str, upstreams: int, hedged: bool) -> None:
    (origin,) = origins_of(tmp_path, path, question(stream=False), upstreams=upstreams, hedge=Hedge())
    assert isinstance(origin, HedgedOrigin) is hedged


def test_without_the_setting_the_policy_is_not_there(tmp_path: Path) -> None:
    config = simple_config(tmp_path, "http://127.0.0.1:9", "http://127.0.0.1:8")
    with RunningGateway(config) as gateway:

        def checks(running: Gateway) -> list[type[Policy]]:
            return [type(policy) for policy in running.admission._inference.checks]

        assert HedgePolicy not in gateway.call(checks)
        hedged = simple_config(
            tmp_path, "http://127.0.0.1:9", "http://127.0.0.1:8", model={"routing": Routing(hedge=Hedge())}
        )
        gateway.reload(hedged)
        assert HedgePolicy in gateway.call(checks)


def test_a_reload_keeps_what_is_known_of_an_alias(tmp_path: Path) -> None:
    def config(hedge: Hedge) -> Any:
        return simple_config(tmp_path, "http://127.0.0.1:9", model={"routing": Routing(hedge=hedge)})

    with RunningGateway(config(Hedge())) as gateway:
        (policy,) = [one for one in gateway.gateway.admission._policies if isinstance(one, HedgePolicy)]
        before = policy.hedging_of(ALIAS)
        gateway.reload(config(Hedge(floor=1.5, max_percent=3)))
        assert policy.hedging_of(ALIAS) is before
        assert (before.delay(stream=True), before.budget.percent) == (1.5, 3)
