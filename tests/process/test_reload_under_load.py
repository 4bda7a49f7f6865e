"""Another configuration for a gateway that runs: at once for what comes, never for what is under way."""

import ssl
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from proxy.config.tree import Config, Upstream
from proxy.errors import ConfigFault
from tests.exchange.samples import DONE, JSON_ANSWER, ROLE, STOP, ask, begun, question, wait_until
from tests.fakes import LAST_CHUNK, ScriptedUpstream, Send, WaitFor, chunk, json_answer
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

OTHER_ALIAS = "prometheus-lite"


def answering(_: object) -> Any:
    return json_answer(JSON_ANSWER)


def renamed(config: Config) -> Config:
    """The same with another alias in the place of its own."""
    return msgspec.structs.replace(config, models={OTHER_ALIAS: config.models[ALIAS]})


def ask_for(gateway: RunningGateway, alias: str) -> int:
    with gateway.client() as client:
        gateway.chat(client, {**question(stream=False), "model": alias})
        return client.read_answer()[0].status


def listed(gateway: RunningGateway) -> list[str]:
    with gateway.client() as client:
        client.request("GET", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
        return [model["id"] for model in msgspec.json.decode(client.read_answer()[1].payload)["data"]]


def test_new_requests_are_served_by_the_new_aliases(tmp_path: Path) -> None:
    with ScriptedUpstream(answering) as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        assert (ask_for(gateway, ALIAS), ask_for(gateway, OTHER_ALIAS), listed(gateway)) == (200, 404, [ALIAS])
        changes = gateway.reload(renamed(gateway.config))
        assert (changes.added, changes.removed) == ((f"models.{OTHER_ALIAS}",), (f"models.{ALIAS}",))
        assert (ask_for(gateway, ALIAS), ask_for(gateway, OTHER_ALIAS), listed(gateway)) == (404, 200, [OTHER_ALIAS])


def test_a_connection_that_is_kept_is_served_by_the_new_configuration_too(tmp_path: Path) -> None:
    with (
        ScriptedUpstream(answering) as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway,
        gateway.client() as client,
    ):
        gateway.chat(client, question(stream=False))
        assert client.read_answer()[0].status == 200
        gateway.reload(renamed(gateway.config))
        gateway.chat(client, question(stream=False))
        assert client.read_answer()[0].status == 404


def test_a_price_holds_for_the_requests_that_begin_after_it(tmp_path: Path) -> None:
    with ScriptedUpstream(answering) as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        ask(gateway, question(stream=False))
        gateway.reload(simple_config(tmp_path, upstream.base_url, model={"price": None}))
        ask(gateway, question(stream=False))
        assert [row.cost for row in gateway.rows()] == [9 * 1100 + 2 * 4400, None]


def test_an_upstream_that_stays_keeps_its_warm_connections(tmp_path: Path) -> None:
    with ScriptedUpstream(answering) as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        ask(gateway, question(stream=False))
        gateway.reload(simple_config(tmp_path, upstream.base_url, server={"expose_upstream": True}))
        head, _ = ask(gateway, question(stream=False))
        assert head.header("x-prism-provider") == "vendor1"
        assert [request.connection for request in upstream.requests] == [1, 1]


def test_a_new_credential_is_used_from_the_next_request_on(tmp_path: Path) -> None:
    with ScriptedUpstream(answering) as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        ask(gateway, question(stream=False))
        gateway.reload(simple_config(tmp_path, upstream.base_url, upstream={"api_key": "sk-rotated"}))
        ask(gateway, question(stream=False))
        assert [request.header("authorization") for request in upstream.requests] == [
            "Bearer sk-upstream-secret",
            "Bearer sk-rotated",
        ]
        # Nothing is kept to an account that is no longer used.
        assert upstream.requests[0].closed.wait(5)


def test_a_stream_goes_on_at_an_upstream_that_is_gone_and_is_its_last(tmp_path: Path) -> None:
    gate = threading.Event()
    with ScriptedUpstream() as before, ScriptedUpstream(answering) as after:
        before.script([*begun(ROLE), WaitFor(gate), chunk(STOP + DONE), Send(LAST_CHUNK)])
        with RunningGateway(simple_config(tmp_path, before.base_url)) as gateway, gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            gateway.reload(simple_config(tmp_path, after.base_url))
            ask(gateway, question(stream=False))
            assert (len(before.requests), len(after.requests)) == (1, 1)
            assert not before.requests[0].closed.is_set()
            gate.set()
            assert client.read_chunked().complete
            assert before.requests[0].closed.wait(5)
            wait_until(lambda: gateway.call(lambda one: not one.providers.retired), "the end of the old pool")
            assert [row.outcome for row in gateway.rows()] == ["complete", "complete"]


def test_a_request_that_is_still_being_sent_ends_by_the_configuration_it_began_with(tmp_path: Path) -> None:
    body = msgspec.json.encode(question(stream=False))
    with (
        ScriptedUpstream(answering) as before,
        ScriptedUpstream(answering) as after,
        RunningGateway(simple_config(tmp_path, before.base_url)) as gateway,
        gateway.client() as client,
    ):
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n"
        client.send(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:5])
        ask(gateway, question(stream=False))
        gateway.reload(simple_config(tmp_path, after.base_url))
        client.send(body[5:])
        assert client.read_answer()[0].status == 200
        assert len(before.requests) == 2
        assert before.requests[-1].closed.wait(5)


def test_limits_hold_for_connections_that_are_there(tmp_path: Path) -> None:
    with (
        ScriptedUpstream(answering) as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway,
        gateway.client() as client,
    ):
        client.request("GET", "/livez", headers={"x-long": "x" * 5_000})
        assert client.read_answer()[0].status == 200
        gateway.reload(simple_config(tmp_path, upstream.base_url, server={"max_head_bytes": 1_000}))
        client.request("GET", "/livez", headers={"x-long": "x" * 5_000})
        assert client.read_answer()[0].status == 431


def test_the_log_changes_its_form(tmp_path: Path) -> None:
    with ScriptedUpstream(answering) as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        gateway.reload(simple_config(tmp_path, upstream.base_url, server={"log_format": "text"}))
        ask(gateway, question(stream=False))
        wait_until(lambda: "total" in gateway.log.getvalue(), "the line")
        assert not gateway.log.getvalue().startswith("{")


def test_what_needs_a_restart_is_named_and_the_rest_is_taken(tmp_path: Path) -> None:
    with ScriptedUpstream(answering) as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        wanted = renamed(simple_config(tmp_path / "elsewhere", upstream.base_url, server={"port": 1}))
        assert gateway.reload(wanted).needs_restart == ("server.port", "server.data_dir")
        assert ask_for(gateway, OTHER_ALIAS) == 200
        assert gateway.call(lambda one: (one.config.server.port, one.config.server.data_dir)) == (0, str(tmp_path))
        assert not (tmp_path / "elsewhere").exists()


def test_what_cannot_be_taken_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nothing")
    with ScriptedUpstream(answering) as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        faulty = Upstream(base_url="https://vendor.test/v1", ca_file=str(tmp_path / "bad.pem"))
        wanted = renamed(gateway.config)
        with pytest.raises(ConfigFault, match=r"upstreams\.other\.ca_file"):
            gateway.reload(msgspec.structs.replace(wanted, upstreams={**wanted.upstreams, "other": faulty}))
        assert ask_for(gateway, ALIAS) == 200


def test_new_certificates_at_the_same_paths_are_taken(tmp_path: Path) -> None:
    """The configuration is the same to the letter; only what its files hold has changed."""
    clients, servers = trustme.CA(), trustme.CA()
    servers.cert_pem.write_to_path(tmp_path / "servers.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    servers.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    clients.configure_trust(context)

    def write(authority: trustme.CA) -> None:
        authority.issue_cert("gateway.test").private_key_and_cert_chain_pem.write_to_path(tmp_path / "gateway.pem")

    write(trustme.CA())
    files = {"ca_file": str(tmp_path / "servers.pem"), "client_cert": str(tmp_path / "gateway.pem")}
    with ScriptedUpstream(answering, tls=context) as upstream:
        config = simple_config(tmp_path, upstream.base_url, upstream=files)
        with RunningGateway(config) as gateway:
            assert ask_for(gateway, ALIAS) == 502
            write(clients)
            gateway.reload(config)
            assert ask_for(gateway, ALIAS) == 200
            pool = gateway.call(lambda one: one.pools["vendor1"])
            gateway.reload(config)
            assert gateway.call(lambda one: one.pools["vendor1"]) is pool


class Asker(threading.Thread):
    """Asks for one alias or the other, which alone may be there, and notes what no reload explains."""

    def __init__(self, gateway: RunningGateway, stop: threading.Event) -> None:
        super().__init__(name="asker")
        self._gateway = gateway
        self._stop_asking = stop
        self.served = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        with self._gateway.client() as client:
            while not self._stop_asking.is_set():
                for alias in (ALIAS, OTHER_ALIAS):
                    self._gateway.chat(client, {**question(stream=False), "model": alias})
                    head, body = client.read_answer()
                    answer = msgspec.json.decode(body.payload)
                    if head.status == 200 and answer["model"] == alias:
                        self.served += 1
                    elif head.status != 404:
                        self.wrong.append(f"{head.status}: {answer}")


def reload_under_load(folder: Path, reloads: int, askers: int = 4) -> int:
    """Swap upstreams, aliases and credentials under load; how many requests were served. Raises AssertionError."""
    stop = threading.Event()
    with ScriptedUpstream(answering) as upstream, RunningGateway(simple_config(folder, upstream.base_url)) as gateway:
        long = [gateway.client(60.0) for _ in range(3)]
        gate = threading.Event()
        for client in long:
            upstream.script([*begun(ROLE), WaitFor(gate, 120.0), chunk(STOP + DONE), Send(LAST_CHUNK)])
            gateway.chat(client, question())
            client.read_head()
        threads = [Asker(gateway, stop) for _ in range(askers)]
        for thread in threads:
            thread.start()
        first = gateway.config
        other = renamed(simple_config(folder, upstream.base_url, upstream={"api_key": "sk-rotated"}))
        for number in range(reloads):
            gateway.reload(other if number % 2 == 0 else first)
        stop.set()
        for thread in threads:
            thread.join()
        gate.set()
        for client in long:
            assert client.read_chunked().complete
            client.close()
        wait_until(lambda: gateway.call(lambda one: not one.providers.retired), "the end of the old pools")
        served = sum(thread.served for thread in threads)
        assert [wrong for thread in threads for wrong in thread.wrong] == []
        assert sum(row.outcome == "complete" for row in gateway.rows()) == served + len(long)
    return served


def test_reloads_under_load_give_no_wrong_answer_and_cut_no_stream(tmp_path: Path) -> None:
    assert reload_under_load(tmp_path, 50) > 0


@pytest.mark.slow
def test_a_thousand_reloads_under_load(tmp_path: Path) -> None:
    served = reload_under_load(tmp_path, 1_000)
    print(f"\n1,000 reloads, {served} requests served meanwhile: 0 wrong, 0 cut, 0 without a row")


def test_a_gateway_that_is_ending_takes_no_other_configuration(tmp_path: Path) -> None:
    gate = threading.Event()
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script([*begun(ROLE), WaitFor(gate), chunk(STOP + DONE), Send(LAST_CHUNK)])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            gateway.begin_stop()
            wait_until(lambda: gateway.call(lambda one: one.readiness.draining), "the end")
            with pytest.raises(ConfigFault, match="shutting down"):
                gateway.reload(renamed(gateway.config))
            gate.set()
            assert client.read_chunked().complete
