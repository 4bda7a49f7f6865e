"""Limits over several workers: exact by the upstream's count, and free again when a worker is killed."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.test_serve import Running, running
from tests.exchange.samples import ROLE, begun, wait_until
from tests.fakes import Hang, RawClient, RecordedRequest, ScriptedUpstream, Step
from tests.policies.limit_samples import usage
from tests.process.test_kill import make_key

CLIENTS = 50
CONFIG = """
[server]
port = 0
workers = 4
data_dir = "{data_dir}"

[upstreams.vendor]
base_url = "{base_url}"
warm_connections = 0

[models.core]
capability = "chat"
targets = ["vendor/inner"]

[limits.default]
{limits}
"""


def answer(request: RecordedRequest) -> list[Step]:
    if json.loads(request.body)["stream"]:
        return [*begun(ROLE), Hang()]
    return usage(20, 10)


class Workers:
    """A gateway with four workers, and what its clients need."""

    def __init__(self, serve: Running, key: str) -> None:
        self.serve = serve
        self.headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def begin(self, *, stream: bool = False) -> tuple[RawClient, int]:
        """A request on a connection of its own, whose response has begun; and its status."""
        body = {"model": "core", "stream": stream, "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
        client = RawClient("127.0.0.1", self.serve.port, seconds=30.0)
        client.request("POST", "/v1/chat/completions", json.dumps(body).encode(), self.headers)
        return client, client.read_head().status

    def status(self) -> int:
        client, status = self.begin()
        client.close()
        return status

    def statuses(self) -> list[int]:
        """Those of fifty clients at the same time."""
        found: list[int] = []
        threads = [threading.Thread(target=lambda: found.append(self.status())) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    @property
    def pids(self) -> list[int]:
        pid = self.serve.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def four_workers(folder: Path, limits: str) -> Iterator[tuple[Workers, ScriptedUpstream]]:
    with ScriptedUpstream(answer) as upstream:
        text = CONFIG.format(data_dir=folder / "data", base_url=upstream.base_url, limits=limits)
        (folder / "prometheus.toml").write_text(text)
        key = make_key(folder)
        with running(folder) as serve:
            yield Workers(serve, key), upstream
            serve.stop(signal.SIGINT)


def test_fifty_clients_of_four_workers_get_exactly_what_is_allowed(tmp_path: Path) -> None:
    with four_workers(tmp_path, 'requests = "120/day"') as (workers, upstream):
        found = [status for _ in range(3) for status in workers.statuses()]
        assert (found.count(200), found.count(429)) == (120, 30)
        assert len(upstream.requests) == 120


def test_fifty_clients_of_four_workers_use_no_more_tokens_than_they_may(tmp_path: Path) -> None:
    with four_workers(tmp_path, 'output_tokens = "400/day"') as (workers, upstream):
        for _ in range(3):
            workers.statuses()
        assert len(upstream.requests) == 40


def test_what_ran_in_a_killed_worker_runs_no_longer(tmp_path: Path) -> None:
    with four_workers(tmp_path, "concurrent = 12") as (workers, _):
        clients = [workers.begin(stream=True) for _ in range(12)]
        assert [status for _, status in clients] == [200] * 12
        assert workers.status() == 429
        victims = workers.pids
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(workers.pids) - set(victims)) == 4, "other workers", 20.0)
        again = [workers.begin(stream=True) for _ in range(12)]
        assert [status for _, status in again] == [200] * 12
        assert workers.status() == 429
        for client, _ in (*clients, *again):
            client.close()
