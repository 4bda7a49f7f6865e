"""No secret in what is printed of objects, errors and configurations. What whole runs write is searched beside this."""

import json
from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.config.show import show
from proxy.errors import ConfigFault
from proxy.exchange.context import RequestContext
from proxy.ledger.record import UsageRecord
from proxy.policies.base import Policy
from tests.exchange.samples import STREAM, question
from tests.fakes import ScriptedUpstream, sse_answer
from tests.faults.secrets import CLIENT_HEADERS, PROMPT, UPSTREAM_HEADERS, UPSTREAM_KEY, UPSTREAM_QUERY, found_in
from tests.serving import KEY, RunningGateway, simple_config

SETTINGS = {"api_key": UPSTREAM_KEY, "headers": UPSTREAM_HEADERS, "query": UPSTREAM_QUERY}
FILE = f"""
[upstreams.vendor]
base_url = "https://vendor.example/v1"
api_key = "{UPSTREAM_KEY}"
headers = {{ x-vendor-token = "{UPSTREAM_HEADERS["x-vendor-token"]}" }}
query = {{ token = "{UPSTREAM_QUERY["token"]}" }}

[models.prometheus-core]
capability = "chat"
targets = ["vendor/model"]
"""


def test_no_secret_is_in_what_is_printed_of_a_call_and_of_all_that_it_holds(tmp_path: Path) -> None:
    calls: list[RequestContext] = []

    class Keep(Policy):
        def settled(self, context: RequestContext, final: UsageRecord) -> None:
            calls.append(context)

    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url, upstream=SETTINGS), Keep) as gateway,
        gateway.client() as client,
    ):
        upstream.script(sse_answer(STREAM))
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", **CLIENT_HEADERS}
        body = question(user=PROMPT)
        client.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)
        client.read_answer()
        inside = gateway.gateway
        (call,) = calls
        printed = {
            "a call": repr(call),
            "a call's body": repr(call.body),
            "an alias": repr(call.alias),
            "a target": repr(call.targets),
            "a key": repr(call.key),
            "the pools": repr(inside.pools),
            "the keys": repr(inside.keys),
            "the configuration": repr(inside.config),
            "the gateway": repr(vars(inside)),
        }
    assert call.alias is not None
    assert not found_in(printed)


def test_the_configuration_is_shown_without_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)
    config = load(path, {})
    assert config.upstreams["vendor"].api_key == UPSTREAM_KEY
    assert not found_in({"config show": show(config, load(path, None)), "repr": repr(config)})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://vendor", f"https://{PROMPT}:{UPSTREAM_KEY}@vendor"),
        ("/v1", f"/v1?token={UPSTREAM_KEY}"),
        (UPSTREAM_KEY, UPSTREAM_KEY + "\\n"),
        (UPSTREAM_HEADERS["x-vendor-token"], UPSTREAM_HEADERS["x-vendor-token"] + "\\u0000"),
        (UPSTREAM_QUERY["token"], UPSTREAM_QUERY["token"] + "\\u0007"),
        ("vendor/model", "vendor"),
        ("capability", "capabilty"),
        ("[models", "[[models"),
    ],
    ids=["user-info", "query in the address", "key", "header", "query", "target", "unknown setting", "no TOML"],
)
def test_a_refused_configuration_is_told_without_a_secret(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE.replace(old, new, 1))
    with pytest.raises(ConfigFault) as raised:
        load(path, {})
    assert not found_in(
        {"the message": str(raised.value), "its repr": repr(raised.value), "its text": raised.value.message}
    )
