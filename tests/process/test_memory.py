"""A gateway in a process of its own whose clients send large bodies slowly: its memory stays what it may be."""

import contextlib
import threading
from pathlib import Path

from tests.cli.test_serve import Running, running
from tests.endpoints.forms import FORM, TRANSCRIPTIONS, form, plain
from tests.fakes import RawClient, ScriptedUpstream
from tests.process.test_kill import make_key

MIB = 1_048_576
MOST = 200 * MIB
CONFIG = """
[server]
port = 0
data_dir = "{data_dir}"
max_memory_bytes = {most}

[upstreams.vendor]
base_url = "http://127.0.0.1:9"
warm_connections = 0

[models.first]
capability = "chat"
targets = ["vendor/inner"]
"""


def resident(serve: Running) -> int:
    """Bytes of memory that the process holds."""
    pages = int(Path(f"/proc/{serve.process.pid}/statm").read_text().split()[1])
    return pages * 4096


def test_slow_large_bodies_of_many_clients_stay_within_the_memory(folder: Path) -> None:
    (folder / "prometheus.toml").write_text(CONFIG.format(data_dir=folder / "data", most=MOST))
    key = make_key(folder)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/json\r\ncontent-length: 33000000\r\n\r\n"
    ).encode()
    piece = b"x" * MIB
    sent = threading.Semaphore(0)

    def send(client: RawClient) -> None:
        with contextlib.suppress(OSError):
            client.send(head)
            for _ in range(30):
                client.send(piece)
        sent.release()

    with running(folder) as serve, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient("127.0.0.1", serve.port, seconds=60.0)) for _ in range(24)]
        for client in clients:
            threading.Thread(target=send, args=(client,), daemon=True).start()
        worst, done = 0, 0
        while done < len(clients):
            worst = max(worst, resident(serve))
            done += sent.acquire(timeout=0.01)
        statuses = [status for client in clients if (status := refusal(client))]
        assert len(statuses) >= 20
        assert set(statuses) == {503}
        assert worst < MOST
        with RawClient("127.0.0.1", serve.port) as client:
            # What is here whole is served on: the upstream is not there.
            body = b'{"model":"first","messages":[]}'
            client.request(
                "POST",
                "/v1/chat/completions",
                body,
                {"authorization": f"Bearer {key}", "content-type": "application/json"},
            )
            assert client.read_answer()[0].status == 502
        stack.close()
        assert serve.stop()[0] == 0


def refusal(client: RawClient) -> int | None:
    """The status that a client got instead of being read to its end."""
    client.socket.settimeout(0.2)
    try:
        return client.read_head().status
    except AssertionError:
        # Nothing came.
        return None


def test_a_file_that_is_hard_to_measure_does_not_hold_up_the_end(folder: Path) -> None:
    with ScriptedUpstream(lambda _: plain(b"hi")) as upstream:
        audio = CONFIG.replace('"chat"', '"audio"').replace("http://127.0.0.1:9", upstream.base_url)
        text = audio.format(data_dir=folder / "data", most=0) + 'price = { minute = "0.006" }\n'
        (folder / "prometheus.toml").write_text(text)
        headers = {"authorization": f"Bearer {make_key(folder)}", "content-type": FORM}
        body = form(model="first", content=b"ID3\x04" + bytes(6) + b"\xff" * (20 * MIB))
        with running(folder) as serve, RawClient("127.0.0.1", serve.port, seconds=30.0) as client:
            client.request("POST", TRANSCRIPTIONS, body, headers)
            assert client.read_answer()[1].payload == b"hi"
            # All of it would be a minute's work.
            assert serve.stop()[0] == 0
