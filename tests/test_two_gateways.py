"""Two gateways in one process share nothing: not their configurations, keys, ledgers, pools or failures."""

import threading
from pathlib import Path

from tests.exchange.samples import DONE, JSON_ANSWER, ROLE, STOP, STREAM, ask, begun, ended, question
from tests.fakes import LAST_CHUNK, ScriptedUpstream, Send, WaitFor, chunk, json_answer
from tests.serving import KEY, RunningGateway, simple_config

OTHER_KEY = "prom_sk_a_key_that_only_the_second_gateway_knows"


def test_a_key_of_one_is_unknown_to_the_other(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path / "a", upstream.base_url)) as first,
        RunningGateway(simple_config(tmp_path / "b", upstream.base_url)) as second,
    ):
        second.add_key("other", OTHER_KEY)
        with first.client() as client:
            first.chat(client, question(), OTHER_KEY)
            assert client.read_answer()[0].status == 401
        upstream.script(ended(STREAM))
        with second.client() as client:
            second.chat(client, question(), OTHER_KEY)
            assert client.read_answer()[0].status == 200
        assert (len(first.rows()), len(second.rows())) == (0, 1)


def test_each_bills_its_own_requests_at_its_own_price(tmp_path: Path) -> None:
    with (
        ScriptedUpstream(lambda _: json_answer(JSON_ANSWER)) as upstream,
        RunningGateway(simple_config(tmp_path / "a", upstream.base_url)) as first,
        RunningGateway(simple_config(tmp_path / "b", upstream.base_url, model={"price": None})) as second,
    ):
        gateways = [first, second] * 10
        threads = [threading.Thread(target=ask, args=(one, question(stream=False))) for one in gateways]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {row.cost for row in first.rows()} == {9 * 1100 + 2 * 4400}
        assert {row.cost for row in second.rows()} == {None}
        assert (len(first.rows()), len(second.rows())) == (10, 10)


def test_the_end_of_one_does_not_touch_a_stream_of_the_other(tmp_path: Path) -> None:
    gate = threading.Event()
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path / "b", upstream.base_url)) as second,
    ):
        with RunningGateway(simple_config(tmp_path / "a", upstream.base_url)):
            upstream.script([*begun(ROLE), WaitFor(gate), chunk(STOP + DONE), Send(LAST_CHUNK)])
            client = second.client()
            second.chat(client, question(), KEY)
            client.read_head()
        gate.set()
        assert client.read_chunked().complete
        client.close()


def test_each_has_its_own_settings(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path / "a", upstream.base_url, server={"max_body_bytes": 10})) as first,
        RunningGateway(simple_config(tmp_path / "b", upstream.base_url, server={"expose_upstream": True})) as second,
    ):
        assert ask(first)[0].status == 413
        upstream.script(ended(STREAM))
        assert ask(second)[0].header("x-prism-provider") == "vendor1"
