"""The metrics of requests: whatever happens, they are what the ledger says, counted apart from it."""

import asyncio
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.config.tree import Admin, Config, Metrics
from proxy.ledger.ledger import open_reports
from proxy.ledger.record import UsageRecord
from proxy.policies.metrics import FOLD_REQUESTS
from tests.cli.test_serve import running
from tests.exchange.samples import DONE, JSON_ANSWER, ROLE, STOP, USAGE, begun, ended, question, wait_until, word
from tests.fakes import Close, RawClient, RecordedRequest, ScriptedUpstream, Send, Step, chunk, json_answer
from tests.policies.exposed import by, counted, expected, page, parse, samples, total
from tests.process.test_kill import make_key
from tests.serving import ALIAS, RunningGateway, simple_config

CHAT = "/v1/chat/completions"


def open_config(folder: Path, *base_urls: str, **settings: Any) -> Config:
    config = simple_config(folder, *base_urls, **settings)
    return msgspec.structs.replace(config, admin=Admin(open_metrics=True))


def test_a_request_is_counted_with_all_that_its_row_has(tmp_path: Path) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 1}}
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, **details}
    with ScriptedUpstream() as upstream, RunningGateway(open_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script(json_answer({**JSON_ANSWER, "usage": usage}))
        upstream.script(ended(ROLE, word("Hello"), word(" you"), STOP, USAGE, DONE))
        with gateway.client() as client:
            gateway.chat(client, question(stream=False))
            client.read_answer()
            gateway.chat(client, question())
            client.read_answer()
        found = samples(gateway.port)
        assert renamed(counted(found), t1="vendor1") == expected(gateway.rows())
    assert by(found, "prometheus_gateway_tokens_total", "kind") == {
        ("input",): 18,
        ("output",): 4,
        ("cached_input",): 4,
        ("reasoning",): 1,
    }
    assert by(found, "prometheus_gateway_time_to_first_token_seconds_count", "alias", "upstream") == {(ALIAS, "t1"): 1}
    assert by(found, "prometheus_gateway_time_per_output_token_seconds_count", "alias") == {(ALIAS,): 1}
    assert by(found, "prometheus_gateway_overhead_seconds_count", "endpoint") == {(CHAT,): 2}
    assert by(found, "prometheus_gateway_attempts_total", "upstream", "outcome") == {("t1", "complete"): 2}
    assert by(found, "gateway_requests_total", "method", "endpoint", "status") == {("POST", CHAT, "200"): 2}
    assert total(found, "gateway_request_duration_seconds_bucket", le="+Inf") == 2


def test_refusals_are_counted_by_code_and_only_those_of_known_keys_have_a_row(tmp_path: Path) -> None:
    with RunningGateway(open_config(tmp_path, "http://127.0.0.1:9")) as gateway:
        with gateway.client() as client:
            gateway.chat(client, question(stream=False), key="prom_sk_nobody_has_this_key_at_all")
            client.read_answer()
            gateway.chat(client, {**question(stream=False), "model": "no-such"})
            client.read_answer()
        found = samples(gateway.port)
        rows = gateway.rows()
    assert by(found, "prometheus_gateway_refusals_total", "code") == {("invalid_api_key",): 1, ("model_not_found",): 1}
    assert by(found, "gateway_requests_total", "status") == {("401",): 1, ("404",): 1}
    assert total(found, "prometheus_gateway_requests_total") == len(rows) == 1


def test_attempts_are_counted_by_what_became_of_each(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as first,
        ScriptedUpstream() as second,
        RunningGateway(open_config(tmp_path, first.base_url, second.base_url)) as gateway,
    ):
        first.script(json_answer({"error": {"message": "no"}}, 503))
        second.script(json_answer(JSON_ANSWER))
        with gateway.client() as client:
            gateway.chat(client, question(stream=False))
            client.read_answer()
        first.script([*begun(ROLE, word("Hello")), Close()])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            client.read_chunked()
        found = samples(gateway.port)
        rows = gateway.rows()
    attempts = by(found, "prometheus_gateway_attempts_total", "upstream", "outcome")
    assert attempts == {("t1", "upstream_error"): 1, ("t2", "complete"): 1, ("t1", "upstream_dropped"): 1}
    assert sum(attempts.values()) == sum(row.attempts for row in rows)


def test_what_has_no_price_is_counted_as_such_and_costs_nothing(tmp_path: Path) -> None:
    settings = {"model": {"price": None}}
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(open_config(tmp_path, upstream.base_url, **settings)) as gateway,
    ):
        upstream.script(json_answer(JSON_ANSWER))
        with gateway.client() as client:
            gateway.chat(client, question(stream=False))
            client.read_answer()
        found = samples(gateway.port)
    assert total(found, "prometheus_gateway_unpriced_requests_total") == 1
    assert total(found, "prometheus_gateway_cost_usd_total") == 0


@pytest.mark.parametrize("by_key", [True, False])
def test_keys_are_a_label_only_where_that_is_configured(tmp_path: Path, by_key: bool) -> None:
    with ScriptedUpstream() as upstream:
        config = msgspec.structs.replace(open_config(tmp_path, upstream.base_url), metrics=Metrics(by_key=by_key))
        with RunningGateway(config) as gateway:
            upstream.script(json_answer(JSON_ANSWER))
            with gateway.client() as client:
                gateway.chat(client, question(stream=False))
                client.read_answer()
            found = samples(gateway.port)
            (row,) = gateway.rows()
    kinds = {(row.key, "input"): 9, (row.key, "output"): 2}
    assert by(found, "prometheus_gateway_key_tokens_total", "key", "kind") == (kinds if by_key else {})
    assert total(found, "prometheus_gateway_key_cost_usd_total") == (Decimal(row.cost or 0) / 10**9 if by_key else 0)


def test_nothing_is_counted_where_that_is_switched_off(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream:
        config = msgspec.structs.replace(open_config(tmp_path, upstream.base_url), metrics=Metrics(enabled=False))
        with RunningGateway(config) as gateway:
            upstream.script(json_answer(JSON_ANSWER))
            with gateway.client() as client:
                gateway.chat(client, question(stream=False))
                client.read_answer()
            assert total(samples(gateway.port), "prometheus_gateway_requests_total") == 0


def test_requests_are_counted_without_a_scrape_once_there_are_a_few(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, RunningGateway(open_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script(json_answer(JSON_ANSWER), times=FOLD_REQUESTS)
        # Not by a sweep either.
        gateway.call(lambda one: one.deadlines.stop())
        with gateway.client() as client:
            for _ in range(FOLD_REQUESTS):
                gateway.chat(client, question(stream=False))
                client.read_answer()
        wait_until(lambda: published(gateway) == FOLD_REQUESTS, "the count")


def published(gateway: RunningGateway) -> int:
    """How many requests another worker's scrape would see now."""
    column = gateway.gateway.admission.state.metrics.memory.views()[0]
    series = [one for one in column.series() if one.family == "gateway_requests_total"]
    _, staged = column.values()
    return sum(staged[one.cell] for one in series)


# Several workers, and kill -9.

CONFIG = """
[server]
port = 0
workers = {workers}
data_dir = "{data_dir}"
log_format = "json"
[admin]
open_metrics = true
[upstreams.one]
base_url = "{base_url}"
warm_connections = 0
[upstreams.two]
base_url = "{base_url}"
warm_connections = 0
[models.priced]
capability = "chat"
targets = ["one/inner"]
price = {{ input = "1.5", output = "2.25", cached_input = "0.1" }}
[models.unpriced]
capability = "chat"
targets = ["two/inner"]
[models.cheap]
capability = "chat"
targets = ["two/other"]
price = {{ input = "0.001", output = "0.003" }}
"""
ALIASES = ("priced", "unpriced", "cheap", "no-such-alias")


def respond(request: RecordedRequest) -> list[Step]:
    """Usage that differs from request to request; now and then an error, or an end that comes too early."""
    body = json.loads(request.body)
    number = int(body["messages"][0]["content"])
    if number % 17 == 0:
        return json_answer({"error": {"message": "no"}}, 400)
    cached = {"prompt_tokens_details": {"cached_tokens": number % 5}}
    usage = {"prompt_tokens": 10 + number % 7, "completion_tokens": 1 + number % 11, "total_tokens": 0, **cached}
    if not body.get("stream"):
        return json_answer({**JSON_ANSWER, "usage": usage})
    counts = b"data: " + json.dumps({"id": "c", "model": "inner", "choices": [], "usage": usage}).encode() + b"\n\n"
    if number % 13 == 0:
        return [*begun(ROLE, word("a few words")), Close()]
    return [*begun(ROLE, word("Hello")), *map(chunk, (word(" you"), STOP, counts, DONE)), Send(b"0\r\n\r\n")]


class Load(threading.Thread):
    """Sends requests of all kinds until it is stopped, some of which it does not read to the end."""

    def __init__(self, port: int, key: str, seed: int, stop: threading.Event) -> None:
        super().__init__(name=f"load-{seed}")
        self._port, self._key, self._chance, self._ended = port, key, random.Random(seed), stop
        self.sent = 0

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._ask()
            except (OSError, AssertionError):
                # Its worker was killed.
                continue

    def _ask(self) -> None:
        chance = self._chance
        with RawClient("127.0.0.1", self._port, seconds=30.0) as client:
            for _ in range(chance.randrange(1, 6)):
                number = chance.randrange(1_000)
                messages = [{"role": "user", "content": str(number)}]
                body = {"model": chance.choice(ALIASES), "messages": messages, "stream": chance.random() < 0.5}
                headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
                client.request("POST", CHAT, json.dumps(body).encode(), headers)
                self.sent += 1
                if number % 19 == 0:
                    client.read_head()
                    return
                client.read_answer()


@contextmanager
def workers(folder: Path, count: int) -> Iterator[tuple[Any, str]]:
    """A gateway with so many workers, and its key."""
    with ScriptedUpstream(respond) as upstream:
        text = CONFIG.format(workers=count, data_dir=folder / "data", base_url=upstream.base_url)
        (folder / "prometheus.toml").write_text(text)
        key = make_key(folder)
        with running(folder) as serve:
            drains = [
                threading.Thread(target=stream.read, name="drain")
                for stream in (serve.process.stdout, serve.process.stderr)
                if stream is not None
            ]
            for drain in drains:
                drain.start()
            try:
                yield serve, key
            finally:
                serve.process.send_signal(signal.SIGTERM)
                serve.process.wait(20)
                for drain in drains:
                    drain.join()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rows_now(folder: Path) -> list[UsageRecord]:
    """The rows of a gateway that runs."""

    async def read() -> list[UsageRecord]:
        async with open_reports(folder / "data") as reports:
            return [row async for row in reports.export()]

    return asyncio.run(read())


@pytest.mark.parametrize(("count", "kills"), [(1, 0), (4, 3)])
def test_counters_are_the_ledger_s_sums_over_workers_and_kills(tmp_path: Path, count: int, kills: int) -> None:
    stop = threading.Event()
    with workers(tmp_path, count) as (serve, key):
        loads = [Load(serve.port, key, seed, stop) for seed in range(4)]
        for load in loads:
            load.start()
        try:
            before: dict[Any, Decimal] = {}
            deadline, killed = time.monotonic() + 4.0, 0
            while time.monotonic() < deadline or killed < kills:
                now = samples(serve.port)
                # No counter ever goes back, whichever worker responds.
                counters = {one: value for one, value in now.items() if one[0].endswith(("_total", "_bucket", "_sum"))}
                assert {one: value for one, value in before.items() if counters.get(one, Decimal(0)) < value} == {}
                before = counters
                if killed < kills and total(now, "prometheus_gateway_requests_total") > 50 * (killed + 1):
                    os.kill(children(serve.process.pid)[killed], signal.SIGKILL)
                    killed += 1
                time.sleep(0.1)
        finally:
            stop.set()
            for load in loads:
                load.join()
        assert sum(load.sent for load in loads) > 100
        wait_until(lambda: len(children(serve.process.pid)) >= count or count == 1, "all workers", 20.0)
        wait_until(lambda: agrees(serve.port, tmp_path), "the counters", 20.0)
        rows, found = rows_now(tmp_path), samples(serve.port)
        assert renamed(counted(found), t1="one", t2="two") == expected(rows)
        assert {row.outcome for row in rows} >= {"complete", "refused", "upstream_error", "upstream_cut"}
        assert total(found, "prometheus_gateway_workers") == count


def renamed(
    found: dict[str, dict[tuple[str, ...], Decimal]], **names: str
) -> dict[str, dict[tuple[str, ...], Decimal]]:
    """With the names of the upstreams in place of t1 and t2."""
    return {
        metric: {tuple(names.get(label, label) for label in labels): value for labels, value in series.items()}
        for metric, series in found.items()
    }


def agrees(port: int, folder: Path) -> bool:
    return renamed(counted(samples(port)), t1="one", t2="two") == expected(rows_now(folder))


def test_a_page_can_be_read_by_a_parser(tmp_path: Path) -> None:
    with RunningGateway(open_config(tmp_path, "http://127.0.0.1:9")) as gateway:
        assert parse(page(gateway.port, path="/-/metrics")).keys() == samples(gateway.port).keys()
