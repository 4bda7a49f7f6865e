"""Several workers under a supervisor, as a service manager, a terminal and kill -9 meet them."""

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import IO

import pytest

from proxy.process.supervisor import MIN_UPTIME_SECONDS
from tests.cli.conftest import Run
from tests.cli.test_serve import Running, failing, rows, running
from tests.exchange.samples import DONE, JSON_ANSWER, ROLE, STOP, USAGE, begun, wait_until
from tests.fakes import (
    LAST_CHUNK,
    RawClient,
    RecordedRequest,
    ScriptedUpstream,
    Send,
    Step,
    WaitFor,
    chunk,
    json_answer,
)
from tests.process.test_kill import make_key

CONFIG = """
[server]
port = 0
workers = {workers}
worker_timeout = {timeout}
data_dir = "{data_dir}"

[upstreams.vendor]
base_url = "{base_url}"
warm_connections = 0

[models.{alias}]
capability = "chat"
targets = ["vendor/inner"]
price = {{ input = "1", output = "2" }}
"""


class Crew:
    """A running gateway with workers, and what asks it."""

    def __init__(self, serve: Running, folder: Path, base_url: str, key: str, gate: threading.Event) -> None:
        self.serve = serve
        self.folder = folder
        self.base_url = base_url
        self.key = key
        #: Lets the streams go on to their end.
        self.gate = gate

    @property
    def workers(self) -> list[int]:
        """The processes below the supervisor, the oldest first."""
        pid = self.serve.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def replace(self, worker: int) -> None:
        """Kill a worker, and wait for another."""
        os.kill(worker, signal.SIGKILL)
        self.has_replaced(worker)

    def has_replaced(self, worker: int) -> None:
        """Wait for another in its place."""
        wait_until(lambda: worker not in self.workers and len(self.workers) == 2, "another worker")

    def ask(self, alias: str = "first", key: str | None = None) -> int:
        """The status of a request on a connection of its own."""
        with self.client() as client:
            self.send(client, alias, stream=False, key=key)
            return client.read_answer()[0].status

    def ready(self) -> int:
        """The status of readiness, by a connection of its own."""
        with self.client() as client:
            client.request("GET", "/readyz")
            return client.read_answer()[0].status

    def stream(self) -> RawClient:
        """A client whose stream has begun."""
        client = self.client()
        self.send(client, "first", stream=True)
        client.read_head()
        client.read_chunk()
        return client

    def client(self) -> RawClient:
        return RawClient("127.0.0.1", self.serve.port, seconds=30.0)

    def send(self, client: RawClient, alias: str, *, stream: bool, key: str | None = None) -> None:
        body = {"model": alias, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json"}
        client.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)

    def write(self, alias: str = "first", workers: int = 2, timeout: float = 10.0) -> None:
        write(self.folder, self.base_url, alias, workers, timeout)


def write(folder: Path, base_url: str, alias: str = "first", workers: int = 2, timeout: float = 10.0) -> None:
    data_dir = folder / "data"
    text = CONFIG.format(data_dir=data_dir, base_url=base_url, alias=alias, workers=workers, timeout=timeout)
    (folder / "prometheus.toml").write_text(text)


@contextmanager
def crew(folder: Path, *, workers: int = 2, timeout: float = 10.0) -> Iterator[Crew]:
    """A gateway with workers over an upstream whose streams stop after their first words."""
    gate = threading.Event()

    def answer(request: RecordedRequest) -> list[Step]:
        if json.loads(request.body)["stream"]:
            return [*begun(ROLE), WaitFor(gate, 60.0), *map(chunk, (STOP, USAGE, DONE)), Send(LAST_CHUNK)]
        return json_answer(JSON_ANSWER)

    with ScriptedUpstream(answer) as upstream:
        write(folder, upstream.base_url, "first", workers, timeout)
        key = make_key(folder)
        try:
            with running(folder) as serve:
                one = Crew(serve, folder, upstream.base_url, key, gate)
                yield one
                if serve.process.poll() is None:
                    serve.stop(signal.SIGINT)
        finally:
            gate.set()


def gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have taken notice yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_one_ready_line_stands_for_all_workers(tmp_path: Path) -> None:
    with crew(tmp_path, workers=3) as one:
        assert one.serve.lines == [f"Ready: {one.serve.url}"]
        assert len(one.workers) == 3
        # The kernel spreads connections: with so many, each worker has had one.
        assert {one.ask() for _ in range(20)} == {200}
        code, out, said = one.serve.stop()
        assert (code, said) == (0, "")
        assert "Ready" not in out
    assert len(rows(tmp_path / "data")) == 20
    assert not list((tmp_path / "data" / "journal").iterdir())


def test_a_demo_s_workers_share_one_provider_and_one_key(tmp_path: Path) -> None:
    with running(tmp_path, "--port", "0", "--workers", "2", "--json") as serve:
        ready = json.loads(serve.lines[0])
        for _ in range(3):
            with RawClient("127.0.0.1", int(ready["url"].rpartition(":")[2])) as client:
                headers = {"authorization": f"Bearer {ready['key']}", "content-type": "application/json"}
                body = b'{"model":"prometheus-lite","messages":[{"role":"user","content":"demo:tokens=1"}]}'
                client.request("POST", "/v1/chat/completions", body, headers)
                assert client.read_answer()[0].status == 200
        code, _, said = serve.stop()
    assert (code, said) == (0, "")
    assert [row.outcome for row in rows(tmp_path / "data")] == ["complete"] * 3


def test_a_killed_worker_is_replaced_and_costs_the_others_nothing(tmp_path: Path) -> None:
    with crew(tmp_path) as one:
        clients = [one.stream() for _ in range(12)]
        victim = one.workers[0]
        os.kill(victim, signal.SIGKILL)
        # While it is away, and after: nobody is refused.
        assert {one.ask() for _ in range(20)} == {200}
        one.has_replaced(victim)
        one.gate.set()
        whole = 0
        for client in clients:
            try:
                whole += client.read_chunked().complete
            except (OSError, AssertionError):
                # Its worker is the one that was killed.
                continue
            finally:
                client.close()
        assert 0 < whole < 12
        code, _, said = one.serve.stop()
        assert code == 0
        assert "worker 1" in said
        assert "SIGKILL" in said
    found = rows(tmp_path / "data")
    assert len(found) == len({row.id for row in found}) == 12 + 20
    assert sorted(row.outcome for row in found) == ["complete"] * (20 + whole) + ["interrupted"] * (12 - whole)


def test_a_worker_that_hangs_is_killed_and_others_take_its_connections(tmp_path: Path) -> None:
    with crew(tmp_path, timeout=3.0) as one:
        victim = one.workers[1]
        os.kill(victim, signal.SIGSTOP)
        try:
            assert {one.ask() for _ in range(10)} == {200}
            wait_until(lambda: victim not in one.workers, "its end", 15.0)
        finally:
            if not gone(victim):
                os.kill(victim, signal.SIGCONT)
        wait_until(lambda: len(one.workers) == 2, "another worker")
        assert {one.ask() for _ in range(10)} == {200}
        assert "worker 2" in one.serve.stop()[2]


class Asker(threading.Thread):
    """Asks without a pause, each time on a connection of its own."""

    def __init__(self, crew: Crew, stop: threading.Event) -> None:
        super().__init__(name="asker")
        self._crew = crew
        self._ended = stop
        self.ids: list[str] = []
        self.cut = 0
        self.refused = 0

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                client = self._crew.client()
            except OSError:
                self.refused += 1
                continue
            with client:
                try:
                    self._crew.send(client, "first", stream=False)
                    self.ids.append(client.read_answer()[0].header("x-request-id") or "")
                except (OSError, AssertionError):
                    self.cut += 1


def tell_lines(stream: IO[str], lines: SimpleQueue[str]) -> None:
    for line in stream:
        lines.put(line)


def kill_under_load(folder: Path, kills: int, count: int = 4) -> str:
    """Kill one worker after the other under load; what came of it. Raises AssertionError."""
    stop = threading.Event()
    slowest = 0.0
    with crew(folder) as one:
        askers = [Asker(one, stop) for _ in range(count)]
        assert one.serve.process.stdout is not None
        log: SimpleQueue[str] = SimpleQueue()
        threads: list[threading.Thread] = [
            threading.Thread(target=one.serve.process.stdout.read, name="reading"),
            threading.Thread(target=tell_lines, args=(one.serve.process.stderr, log), name="log"),
        ]
        for thread in (*threads, *askers):
            thread.start()
        try:
            for _ in range(kills):
                before = time.monotonic()
                os.kill(one.workers[0], signal.SIGKILL)
                while "serves again" not in log.get(timeout=10):
                    pass
                slowest = max(slowest, time.monotonic() - before)
                # One that is killed sooner counts as one that does not come up, and is given more time each time.
                time.sleep(MIN_UPTIME_SECONDS)
        finally:
            stop.set()
            for asker in askers:
                asker.join()
        one.serve.process.send_signal(signal.SIGTERM)
        assert one.serve.process.wait(20) == 0
        for thread in threads:
            thread.join()
    ids = [id_ for asker in askers for id_ in asker.ids]
    cut = sum(asker.cut for asker in askers)
    assert sum(asker.refused for asker in askers) == 0
    # At the most what the killed one was serving.
    assert cut <= kills * count
    found = rows(folder / "data")
    complete = {row.id for row in found if row.outcome == "complete"}
    assert len(found) == len({row.id for row in found})
    assert complete.issuperset(ids)
    return (
        f"{kills} kills of a worker, {len(ids)} answers, {cut} cut with their worker, 0 refused, "
        f"0 answers without a row, 0 rows twice; a worker was back after {slowest:.2f} s at the most"
    )


def test_no_connection_is_refused_and_no_row_lost_when_workers_are_killed(tmp_path: Path) -> None:
    kill_under_load(tmp_path, 3)


@pytest.mark.slow
def test_a_hundred_kills(tmp_path: Path) -> None:
    print(f"\n{kill_under_load(tmp_path, 100)}")


def test_a_writer_s_death_leaves_the_ledger_to_another(tmp_path: Path) -> None:
    with crew(tmp_path) as one:
        for _ in range(2):
            assert one.ask() == 200
            for worker in one.workers:
                one.replace(worker)
        assert one.ask() == 200
        assert one.serve.stop()[0] == 0
    assert [row.outcome for row in rows(tmp_path / "data")] == ["complete"] * 3


def test_a_new_key_is_soon_known_to_all_workers(tmp_path: Path, run: Run) -> None:
    with crew(tmp_path) as one:
        made = run("keys", "create", "second", "--config", str(tmp_path / "prometheus.toml"))
        key = made.stdout.strip()
        wait_until(lambda: {one.ask(key=key) for _ in range(8)} == {200}, "the key")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_running_streams_end_before_the_workers_do(tmp_path: Path, number: signal.Signals) -> None:
    with crew(tmp_path) as one:
        clients = [one.stream() for _ in range(6)]
        one.serve.process.send_signal(number)
        wait_until(lambda: refused(one.serve.port), "the end of the listeners")
        one.gate.set()
        for client in clients:
            assert client.read_chunked().complete
            client.close()
        assert one.serve.process.wait(20) == 0
    assert [row.outcome for row in rows(tmp_path / "data")] == ["complete"] * 6


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return True
    return False


def test_a_signal_to_all_its_processes_is_one_signal(tmp_path: Path) -> None:
    with crew(tmp_path) as one, one.stream() as client:
        # As a terminal does it, and a service manager with its default settings.
        for pid in (one.serve.process.pid, *one.workers):
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: refused(one.serve.port), "the end of the listeners")
        one.gate.set()
        assert client.read_chunked().complete


def test_a_second_signal_ends_what_runs_and_bills_it(tmp_path: Path) -> None:
    with crew(tmp_path) as one, one.stream() as client:
        one.serve.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(one.serve.port), "the end of the listeners")
        one.serve.process.send_signal(signal.SIGTERM)
        assert b"gateway_shutdown" in client.read_chunked().payload
        assert one.serve.process.wait(20) == 0
    assert [row.outcome for row in rows(tmp_path / "data")] == ["gateway_shutdown"]


def test_workers_whose_supervisor_is_killed_end_by_themselves(tmp_path: Path) -> None:
    with crew(tmp_path) as one:
        workers = one.workers
        one.serve.process.kill()
        wait_until(lambda: all(gone(worker) for worker in workers), "their end")


def test_a_reload_reaches_all_workers_and_those_that_are_started_later(tmp_path: Path, run: Run) -> None:
    file = str(tmp_path / "prometheus.toml")
    with crew(tmp_path) as one:
        one.write("second", workers=3)
        done = run("config", "reload", "--config", file)
        assert done.exit_code == 0, done.stderr
        assert "added models.second" in done.stdout
        assert "needs a restart: server.workers" in done.stdout
        assert {one.ask("second") for _ in range(10)} == {200}
        assert {one.ask("first") for _ in range(10)} == {404}
        # A file that is broken later is no hindrance to a worker that has to be replaced.
        (tmp_path / "prometheus.toml").write_text("[server")
        assert run("config", "reload", "--data-dir", str(tmp_path / "data")).exit_code == 1
        one.replace(one.workers[0])
        assert {one.ask("second") for _ in range(20)} == {200}


def test_a_reload_that_cannot_read_the_promoted_keys_is_refused_and_no_worker_is_killed(
    tmp_path: Path, run: Run
) -> None:
    with crew(tmp_path) as one:
        before = list(one.workers)
        (tmp_path / "data" / "provider-keys.json").write_text("{")
        done = run("config", "reload", "--config", str(tmp_path / "prometheus.toml"))
        assert done.exit_code == 1
        assert "provider-keys.json is damaged" in done.stderr + done.stdout
        assert list(one.workers) == before
        assert {one.ask("first") for _ in range(10)} == {200}


def test_a_signal_reloads_all_workers(tmp_path: Path) -> None:
    with crew(tmp_path) as one:
        one.write("second")
        one.serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: {one.ask("second") for _ in range(10)} == {200}, "the reload")


def test_a_port_in_use_is_noticed_though_workers_share_theirs(tmp_path: Path) -> None:
    with crew(tmp_path) as one:
        (tmp_path / "other").mkdir()
        code, said = failing(tmp_path / "other", "--workers", "2", "--port", str(one.serve.port))
        assert code == 1
        assert "cannot listen on" in said


def test_what_keeps_workers_from_starting_is_told_once_and_ends_all(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "ledger.db").write_bytes(b"this is no database" * 1_000)
    code, said = failing(tmp_path, "--workers", "2", "--port", "0")
    assert code == 1
    assert said.count("the file is damaged") == 1
    assert "Traceback" not in said


def test_every_worker_follows_the_keys_file_that_is_there_now(folder: Path, run: Run) -> None:
    file = folder / "data" / "keys.db"
    with crew(folder) as gateway:

        def answers(key: str) -> set[int]:
            """Those of enough connections to meet both workers."""
            return {gateway.ask(key=key) for _ in range(12)}

        assert answers(gateway.key) == {200}
        shutil.copy(file, folder / "copy")
        (folder / "copy").rename(file)
        new = run("keys", "create", "new", "--data-dir", str(folder / "data")).stdout.strip()
        assert run("keys", "revoke", "load", "--data-dir", str(folder / "data")).exit_code == 0
        wait_until(lambda: answers(gateway.key) == {401}, "the revocation in both workers")
        wait_until(lambda: answers(new) == {200}, "the new key in both workers")
        file.unlink()
        wait_until(lambda: {gateway.ready() for _ in range(12)} == {503}, "both workers' readiness to end")
        assert answers(new) == {200}


def test_no_worker_takes_a_file_that_was_emptied(folder: Path, run: Run) -> None:
    with crew(folder) as gateway:
        (folder / "prometheus.toml").write_text("")
        refused = run("config", "reload", "--data-dir", str(folder / "data"))
        assert refused.exit_code == 1
        assert "is empty" in refused.stderr
        assert {gateway.ask() for _ in range(12)} == {200}
        gateway.write("second")
        assert run("config", "reload", "--data-dir", str(folder / "data")).exit_code == 0
        assert {gateway.ask("second") for _ in range(12)} == {200}
