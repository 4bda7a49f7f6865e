"""The gauges: each follows what it reads."""

import threading
from pathlib import Path

import msgspec

from proxy import __version__
from proxy.config.tree import Admin
from tests.exchange.samples import DONE, ROLE, STOP, begun, question, wait_until, word
from tests.fakes import LAST_CHUNK, ScriptedUpstream, Send, WaitFor, chunk
from tests.policies.exposed import by, samples, total
from tests.serving import RunningGateway, simple_config

PREFIX = "prometheus_gateway_"


def test_what_is_under_way_is_counted_while_it_is(tmp_path: Path) -> None:
    gate = threading.Event()
    with ScriptedUpstream() as upstream:
        upstream.script([*begun(ROLE, word("Hello")), WaitFor(gate, 30.0), *map(chunk, (STOP, DONE)), Send(LAST_CHUNK)])
        config = msgspec.structs.replace(simple_config(tmp_path, upstream.base_url), admin=Admin(open_metrics=True))
        with RunningGateway(config) as gateway, gateway.client() as client:
            try:
                gateway.chat(client, question())
                client.read_head()
                found = samples(gateway.port)
                assert total(found, f"{PREFIX}in_flight_requests") == 1
                assert by(found, f"{PREFIX}upstream_connections", "upstream", "state") == {("t1", "busy"): 1}
            finally:
                gate.set()
            client.read_chunked()
            wait_until(lambda: total(samples(gateway.port), f"{PREFIX}in_flight_requests") == 0, "the end")


def test_an_upstream_that_is_ejected_is_shown_as_such(tmp_path: Path) -> None:
    config = msgspec.structs.replace(
        simple_config(tmp_path, "http://127.0.0.1:9", upstream={"consecutive_gateway_failures": 2}),
        admin=Admin(open_metrics=True),
    )
    with RunningGateway(config) as gateway, gateway.client() as client:
        assert total(samples(gateway.port), f"{PREFIX}upstream_ejected", upstream="t1") == 0
        for _ in range(2):
            gateway.chat(client, question(stream=False))
            client.read_answer()
        assert total(samples(gateway.port), f"{PREFIX}upstream_ejected", upstream="t1") == 1


def test_what_runs_and_what_is_configured_are_labels(tmp_path: Path) -> None:
    config = msgspec.structs.replace(simple_config(tmp_path, "http://127.0.0.1:9"), admin=Admin(open_metrics=True))
    with RunningGateway(config) as gateway:
        found = samples(gateway.port)
    assert total(found, f"{PREFIX}build_info", version=__version__) == 1
    assert total(found, f"{PREFIX}config_info", models="1", upstreams="1", durability="process") == 1
    assert total(found, f"{PREFIX}workers") == 1
    assert total(found, f"{PREFIX}resident_memory_bytes") > 2**20
    assert total(found, f"{PREFIX}start_time_seconds") > 1_700_000_000
