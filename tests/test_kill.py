"""kill -9 under load: what a client was given to its end is billed, once and right; what was not is interrupted."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import IO

import msgspec
import pytest

from proxy.ledger.keys import KeyStore
from proxy.ledger.record import Final
from proxy.ledger.store import open_reports
from tests.fakes import LAST_CHUNK, RawClient, RecordedRequest, ScriptedUpstream, Send, Step, WaitFor, chunk
from tests.relay.samples import DONE, ROLE, STOP, begun, event, question, wait_until, word

CONFIG = """
[server]
port = 0
data_dir = "{data_dir}"

[upstreams.vendor]
base_url = "{base_url}"
warm_connections = 0

[models.prometheus-core]
capability = "chat"
targets = ["vendor/inner"]
price = {{ input = "1", output = "2" }}
"""


@contextmanager
def serving_process(folder: Path, base_url: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """`serve` as a process of its own, and its port; it is killed on leaving."""
    config = folder / "prometheus.toml"
    config.write_text(CONFIG.format(data_dir=folder / "data", base_url=base_url))
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(config), "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield process, read_port(process.stdout)
        finally:
            process.kill()


def read_port(output: IO[bytes]) -> int:
    """The port of the ready line; the rest of the output is read away."""
    for line in output:
        if line.startswith(b"Ready: "):
            threading.Thread(target=lambda: [None for _ in output], daemon=True).start()
            return int(line.rpartition(b":")[2])
    raise AssertionError("the gateway did not come up")


def make_key(folder: Path) -> str:
    async def make() -> str:
        store = KeyStore(folder / "data")
        await store.open()
        try:
            return (await store.create("load"))[1]
        finally:
            await store.close()

    (folder / "data").mkdir(parents=True, exist_ok=True)
    return asyncio.run(make())


def read_rows(folder: Path) -> list[Final]:
    async def read() -> list[Final]:
        async with open_reports(folder / "data") as reports:
            return [row async for row in reports.export()]

    return asyncio.run(read())


def tokens(number: int) -> dict[str, int]:
    """The usage of one stream, unlike that of any other."""
    return {"prompt_tokens": 1_000 + number, "completion_tokens": 1 + number, "total_tokens": 1_001 + 2 * number}


class Load:
    """Streams of which some are let to their end while the process is killed."""

    def __init__(self, count: int) -> None:
        self.gates = [threading.Event() for _ in range(count)]
        #: Request ids of the streams whose `[DONE]` a client got, with their number.
        self.done: dict[str, int] = {}
        self.begun: SimpleQueue[int] = SimpleQueue()
        self.finished: SimpleQueue[int] = SimpleQueue()

    def script(self, request: RecordedRequest) -> Iterable[Step]:
        """An answer that goes to its end when its gate opens, by the number in the question."""
        number = int(msgspec.json.decode(request.body)["messages"][0]["content"])
        usage = event(choices=[], usage=tokens(number))
        rest = [chunk(word("more")), chunk(STOP), chunk(usage), chunk(DONE), Send(LAST_CHUNK)]
        return [*begun(ROLE), WaitFor(self.gates[number], 60.0), *rest]

    def read(self, port: int, key: str, number: int) -> None:
        """One client: ask, and remember whether the answer came to its end."""
        body = question(messages=[{"role": "user", "content": str(number)}])
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        try:
            with RawClient("127.0.0.1", port, seconds=60) as client:
                client.request("POST", "/v1/chat/completions", msgspec.json.encode(body), headers)
                request_id = client.read_head().header("x-request-id") or ""
                self.begun.put(number)
                if b"[DONE]" in client.read_chunked().payload:
                    self.done[request_id] = number
                self.finished.put(number)
        except (AssertionError, OSError):
            # Killed before the answer's head, or while one was sent: not done.
            return


def kill_under_load(folder: Path, *, kills: int, streams: int) -> None:
    """Kill the gateway so many times, each time with so many streams of which half are at their end."""
    key = make_key(folder)
    done: dict[str, int] = {}
    reached = 0
    for _ in range(kills):
        load = Load(streams)
        with ScriptedUpstream(load.script) as upstream, serving_process(folder, upstream.base_url) as (process, port):
            clients = [threading.Thread(target=load.read, args=(port, key, number)) for number in range(streams)]
            for client in clients:
                client.start()
            for _ in range(streams):
                load.begun.get(timeout=60)
            for gate in load.gates[: streams // 2]:
                gate.set()
            # In the midst of it: some have ended, some are ending, and some have not been let.
            for _ in range(streams // 4):
                load.finished.get(timeout=60)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            for gate in load.gates:
                gate.set()
            for client in clients:
                client.join()
            reached += len(upstream.requests)
        done |= load.done
    check(read_rows(folder), done, reached)


def check(rows: list[Final], done: dict[str, int], reached: int) -> None:
    """Compare the rows with what clients have seen to its end, and with what reached the upstream."""
    by_id = {row.id: row for row in rows}
    assert len(by_id) == len(rows) == reached
    assert done
    for request_id, number in done.items():
        row = by_id[request_id]
        assert (row.outcome, row.usage_source) == ("complete", "reported")
        assert (row.input_tokens, row.output_tokens) == (1_000 + number, 1 + number)
        assert row.cost == row.input_tokens * 1_000 + row.output_tokens * 2_000
    others = [row for row in rows if row.id not in done]
    # One whose bill was written when its last byte had not left yet is billed; it may not be free.
    assert {row.outcome for row in others} <= {"interrupted", "complete"}
    assert any(row.outcome == "interrupted" for row in others)


def test_what_was_given_is_billed_and_what_was_not_is_interrupted(tmp_path: Path) -> None:
    kill_under_load(tmp_path, kills=2, streams=40)


@pytest.mark.slow
def test_it_holds_for_many_kills_under_more_load(tmp_path: Path) -> None:
    kill_under_load(tmp_path, kills=20, streams=200)


def test_a_gateway_that_starts_again_takes_in_what_a_killed_one_left(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    load = Load(1)
    with ScriptedUpstream(load.script) as upstream:
        with serving_process(tmp_path, upstream.base_url) as (process, port):
            client = threading.Thread(target=load.read, args=(port, key, 0))
            client.start()
            load.begun.get(timeout=60)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            load.gates[0].set()
            client.join()
        with serving_process(tmp_path, upstream.base_url) as (process, port):
            with RawClient("127.0.0.1", port) as again:
                again.request("GET", "/livez")
                assert again.read_answer()[0].status == 200
            wait_until(lambda: [row.outcome for row in read_rows(tmp_path)] == ["interrupted"], "the row")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    (row,) = read_rows(tmp_path)
    assert (row.alias, row.upstream, row.status, row.cost) == ("prometheus-core", "vendor", 0, None)
