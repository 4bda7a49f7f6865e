"""`serve` with far too few descriptors: who is refused is told so, and nothing spins, floods or is lost."""

import json
import os
import resource
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.cli.test_serve import Running, rows
from tests.exchange.samples import DONE, ROLE, STOP, begun, wait_until
from tests.fakes import LAST_CHUNK, RawClient, RecordedRequest, ScriptedUpstream, Send, Step, WaitFor, chunk
from tests.process.test_kill import make_key
from tests.process.test_workers import write

DESCRIPTORS = 256
CLIENTS = 300
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@contextmanager
def limited(folder: Path, errors: Path) -> Iterator[Running]:
    """A `serve` that may open few files; what it complains of is in `errors`."""
    command = f'ulimit -n {DESCRIPTORS}; exec "{sys.executable}" -m proxy serve'
    with (
        errors.open("w") as stderr,
        subprocess.Popen(["sh", "-c", command], cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True) as one,
    ):
        try:
            assert one.stdout is not None
            lines = []
            for line in one.stdout:
                lines.append(line.rstrip("\n"))
                if line.startswith("Ready: "):
                    break
            # What it writes from here on must not stop it.
            reader = threading.Thread(target=one.stdout.read)
            reader.start()
            yield Running(one, lines)
        finally:
            one.kill()
            reader.join()


def processor_seconds(pid: int) -> float:
    """What a process has used of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(client: RawClient, key: str) -> None:
    body = {"model": "first", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    client.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)


def answered(clients: list[RawClient]) -> list[RawClient]:
    """Those that have something to read."""
    poller = select.poll()
    by_number = {client.socket.fileno(): client for client in clients}
    for number in by_number:
        poller.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poller.poll(0)]


def settled(clients: list[RawClient], seconds: float = 20.0) -> list[RawClient]:
    """Those that have something to read, once no more have it than half a second before."""
    deadline = time.monotonic() + seconds
    before = -1
    while (count := len(answered(clients))) != before and time.monotonic() < deadline:
        before = count
        time.sleep(0.5)
    return answered(clients)


@pytest.mark.parametrize("ask_at_once", [True, False], ids=["each asks as it comes", "all ask when all are there"])
def test_more_clients_than_descriptors(tmp_path: Path, ask_at_once: bool) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 3 * CLIENTS:
        pytest.skip("this process may not open enough files itself")
    gate = threading.Event()
    errors = tmp_path / "errors"

    def answer(request: RecordedRequest) -> list[Step]:
        return [*begun(ROLE), WaitFor(gate, 60.0), chunk(STOP + DONE), Send(LAST_CHUNK)]

    with ScriptedUpstream(answer) as upstream, ExitStack() as stack:
        stack.callback(gate.set)
        write(tmp_path, upstream.base_url, workers=1)
        key = make_key(tmp_path)
        serve = stack.enter_context(limited(tmp_path, errors))
        clients = []
        for _ in range(CLIENTS):
            clients.append(stack.enter_context(RawClient("127.0.0.1", serve.port, seconds=20.0)))
            if ask_at_once:
                ask(clients[-1], key)
        if not ask_at_once:
            opened = Path(f"/proc/{serve.process.pid}/fd")
            wait_until(lambda: len(list(opened.iterdir())) > 0.9 * DESCRIPTORS, "as many are there as fit")
            for client in clients:
                ask(client, key)

        # Every client streams, is refused, or waits; nobody is dropped without a word.
        statuses = {}
        for client in settled(clients):
            head = client.read_head()
            statuses[client] = head.status
            assert head.status == 200 or (head.status == 503 and head.header("retry-after"))
        streams = [client for client, status in statuses.items() if status == 200]
        assert statuses
        assert len(streams) < CLIENTS
        assert streams or not ask_at_once

        # Those that wait cost nothing.
        before = processor_seconds(serve.process.pid)
        time.sleep(1.0)
        assert processor_seconds(serve.process.pid) - before < 0.5

        # What runs goes on to its end, and then there is room again.
        gate.set()
        for client in streams:
            assert b"[DONE]" in client.read_chunked().payload
        for client in clients:
            client.close()
        since = time.monotonic()
        wait_until(lambda: served(serve, key), "the gateway serves again")
        recovered = time.monotonic() - since
        assert recovered < 10, "on a quiet machine it is well below two seconds"

        assert serve.stop()[0] == 0
        told = errors.read_text().splitlines()
        assert len([line for line in told if "overload grade" in line]) < 20
        assert len(told) < 2 * CLIENTS
        assert "Traceback" not in errors.read_text()
    written = rows(tmp_path / "data")
    assert len([row for row in written if row.outcome == "complete"]) >= len(streams) + 1
    assert {row.outcome for row in written} <= {"complete", "refused", "client_closed"}


def served(serve: Running, key: str) -> bool:
    """Whether a request of now is answered."""
    with RawClient("127.0.0.1", serve.port, seconds=20.0) as client:
        ask(client, key)
        return client.read_answer()[0].status == 200
