"""One budget of several workers: served is what it has, and a worker that is killed takes no money with it."""

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.cli.test_serve import Running, rows, running
from tests.exchange.samples import EVENTS, ROLE, STOP, wait_until, word
from tests.fakes import (
    LAST_CHUNK,
    Close,
    Hang,
    RawClient,
    RecordedRequest,
    ScriptedUpstream,
    Send,
    Step,
    chunk,
    head,
    json_answer,
)
from tests.policies.budgeting import COST, TOKENS, answer, requests
from tests.process.test_kill import make_key

CONFIG = """
[server]
port = 0
workers = {workers}
data_dir = "{data_dir}"

[upstreams.vendor]
base_url = "{base_url}"
warm_connections = 0

[models.first]
capability = "chat"
targets = ["vendor/inner"]
price = {{ input = "0", output = "1" }}

[budgets.all]
limit = "{limit}"
window = "total"
"""


class Crew:
    """A gateway of several workers, and its clients."""

    def __init__(self, serve: Running, folder: Path, key: str) -> None:
        self.serve = serve
        self.folder = folder
        self.key = key

    def ask(self, max_tokens: int = TOKENS, **fields: object) -> int:
        """The status of a request on a connection of its own; 0 where the connection broke."""
        with self.client() as client, suppress(OSError, AssertionError):
            self.send(client, max_tokens, **fields)
            return client.read_answer()[0].status
        return 0

    def client(self) -> RawClient:
        return RawClient("127.0.0.1", self.serve.port, seconds=20.0)

    def send(self, client: RawClient, max_tokens: int = TOKENS, **fields: object) -> None:
        message = {"role": "user", "content": "hello"}
        body = {"model": "first", "messages": [message], "max_tokens": max_tokens, **fields}
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        client.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)

    @property
    def workers(self) -> list[int]:
        pid = self.serve.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def crew(folder: Path, upstream: ScriptedUpstream, limit: str, workers: int) -> Iterator[Crew]:
    folder.mkdir(parents=True, exist_ok=True)
    text = CONFIG.format(data_dir=folder / "data", base_url=upstream.base_url, workers=workers, limit=limit)
    (folder / "prometheus.toml").write_text(text)
    key = make_key(folder)
    with running(folder) as serve:
        yield Crew(serve, folder, key)
        serve.stop(signal.SIGINT)


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_fifty_clients_get_what_the_budget_has_from_four_workers(tmp_path: Path, rounds: int) -> None:
    with ScriptedUpstream(lambda _: json_answer(answer())) as upstream, ThreadPoolExecutor(50) as pool:
        for number in range(rounds):
            before = len(upstream.requests)
            folder = tmp_path / str(number)
            with crew(folder, upstream, requests(10), 4) as one:
                assert Counter(pool.map(lambda _, one=one: one.ask(), range(50))) == {200: 10, 429: 40}
            assert len(upstream.requests) - before == 10
            assert sum(row.cost or 0 for row in rows(folder / "data")) == 10 * COST


def misbehave(request: RecordedRequest) -> list[Step]:
    """An upstream that responds, streams, breaks off, or says nothing, as the client's words have it."""
    user = json.loads(request.body).get("user")
    if user == "cut":
        return [head(200, EVENTS), chunk(ROLE), chunk(word("a")), Close()]
    if user == "hang":
        return [head(200, EVENTS), chunk(ROLE), chunk(word("a")), Hang()]
    if user == "silent":
        return [Hang()]
    if user == "fail":
        return json_answer({"error": {"message": "x"}}, 400)
    if user == "stream":
        return [
            head(200, EVENTS),
            chunk(ROLE),
            chunk(word("a")),
            chunk(STOP),
            chunk(b"data: [DONE]\n\n"),
            Send(LAST_CHUNK),
        ]
    return json_answer(answer())


def replaced(one: Crew, victim: int) -> bool:
    """Whether another worker has taken the place of one."""
    return victim not in one.workers and len(one.workers) == 2


@pytest.mark.parametrize("count", [40, pytest.param(1_000, marks=pytest.mark.slow)])
def test_no_cancel_cut_or_kill_leaves_a_reservation_or_loses_a_cost(tmp_path: Path, count: int) -> None:
    limit = 100_000
    random_ = random.Random(7)
    kinds = [random_.choice(("cut", "hang", "silent", "fail", "stream", "json")) for _ in range(count)]
    with ScriptedUpstream(misbehave) as upstream, crew(tmp_path, upstream, requests(limit), 2) as one:

        def ask(kind: str) -> None:
            with suppress(OSError, AssertionError), one.client() as client:
                one.send(client, user=kind, stream=kind != "json")
                if kind in ("hang", "silent"):
                    if kind == "hang":
                        client.read_head()
                else:
                    client.read_answer()

        with ThreadPoolExecutor(8) as pool:
            done = [pool.submit(ask, kind) for kind in kinds]
            for _ in range(max(count // 100, 2)):
                victim = random_.choice(one.workers)
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                wait_until(partial(replaced, one, victim), "a worker", 20)
            for future in done:
                future.result()
        spent: list[int] = []

        def settled() -> bool:
            found = rows(tmp_path / "data")
            spent[:] = [row.cost if row.cost is not None else row.reserved or 0 for row in found]
            # What is left to the last token is served, and no token more.
            left = limit * TOKENS - sum(spent) // (COST // TOKENS)
            return one.ask(left + 1) == 429 and one.ask(left) == 200

        wait_until(settled, "all that was reserved to be given back", 30)
        assert sum(spent) > 0
