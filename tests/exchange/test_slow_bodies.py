"""Bodies that come slowly: each has its bounds, and all of them together have theirs, whatever they are sent to."""

import contextlib
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.endpoints.forms import FORM, field, file
from tests.exchange.samples import JSON_ANSWER, wait_until
from tests.fakes import RawClient, ScriptedUpstream, json_answer
from tests.serving import ALIAS, KEY, RunningGateway, needs_patching, simple_config

MIB = 1_048_576
JSON = "application/json"
#: A path, a content type, and the first bytes of a body that says that more is to come.
SLOW: dict[str, tuple[str, str, bytes]] = {
    "chat": ("/v1/chat/completions", JSON, b'{"model":"%b","messages":[' % ALIAS.encode()),
    "gemini": (f"/v1beta/models/{ALIAS}:generateContent", JSON, b'{"contents":['),
    "object": ("/v1/threads", JSON, b'{"messages":['),
    "form": ("/v1/audio/transcriptions", FORM, file(b"")[:-2]),
    "form with its model": ("/v1/audio/transcriptions", FORM, field("model", ALIAS) + file(b"")[:-2]),
    "file": ("/v1/files", FORM, file(b"")[:-2]),
    "batch": ("/v1/files", FORM, field("purpose", "batch") + file(b"{")[:-2]),
}
EACH = pytest.mark.parametrize("kind", SLOW)


@contextmanager
def gateway_with(folder: Path, **server: Any) -> Iterator[RunningGateway]:
    with ScriptedUpstream(lambda _: json_answer(JSON_ANSWER)) as upstream:
        model = {"capability": "audio", "price": None}
        config = simple_config(folder, upstream.base_url, server=server, model=model)
        with RunningGateway(config) as gateway:
            yield gateway


def begin(gateway: RunningGateway, kind: str, length: int = 20 * MIB) -> RawClient:
    """A client that has sent the head and the beginning of its body."""
    path, content_type, first = SLOW[kind]
    client = gateway.client(30.0)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {KEY}\r\ncontent-type: {content_type}\r\n"
        f"content-length: {length}\r\n\r\n"
    )
    client.send(head.encode() + first)
    return client


def under_way(gateway: RunningGateway) -> int:
    return gateway.call(lambda running: running.overload.in_flight)


def held(gateway: RunningGateway) -> tuple[int, int]:
    return gateway.call(lambda running: (running.overload.bodies.memory, running.overload.bodies.disk))


def status(gateway: RunningGateway) -> tuple[int, str | None, str | None]:
    """Of a small request that is sent at once: its status, retry-after and code."""
    with gateway.client() as client:
        gateway.chat(client, {"model": "nothing", "messages": []})
        head, body = client.read_answer()
        return head.status, head.header("retry-after"), json.loads(body.payload)["error"]["code"]


@EACH
def test_a_request_counts_from_its_authentication_on(tmp_path: Path, kind: str) -> None:
    with gateway_with(tmp_path, max_in_flight=2) as gateway:
        with begin(gateway, kind), begin(gateway, kind):
            wait_until(lambda: under_way(gateway) == 2, "both")
            assert status(gateway) == (503, "1", "server_is_overloaded")
        wait_until(lambda: under_way(gateway) == 0, "their leaving")
        assert status(gateway) == (404, None, "model_not_found")
        assert held(gateway) == (0, 0)


def test_as_many_as_may_be_under_way_are_served(tmp_path: Path) -> None:
    with gateway_with(tmp_path, max_in_flight=1) as gateway, gateway.client() as client:
        client.request("GET", "/v1/files/file-none", headers={"authorization": f"Bearer {KEY}"})
        assert client.read_answer()[0].status == 404


@pytest.mark.parametrize("kind", [kind for kind in SLOW if kind != "form with its model"])
def test_all_bodies_together_have_a_bound(tmp_path: Path, kind: str) -> None:
    room = {"max_body_bytes": 2 * MIB, "max_coming_bytes": 4 * MIB, "max_spool_bytes": 4 * MIB}
    with gateway_with(tmp_path, **room) as gateway, ExitStack() as stack:
        clients = [stack.enter_context(begin(gateway, kind, 2 * MIB)) for _ in range(5)]
        for client in clients:
            # One that is refused while it sends may be gone by then.
            with contextlib.suppress(OSError):
                client.send(b"0" * (3 * MIB // 2))
        wait_until(lambda: 0 < under_way(gateway) < 5, "some to be refused and some to go on")
        wait_until(lambda: sum(held(gateway)) > MIB, "those to be counted")
        assert max(held(gateway)) <= 4 * MIB
        # One that is here whole needs none of it.
        assert status(gateway)[0] == 404
        stack.close()
        wait_until(lambda: (under_way(gateway), held(gateway)) == (0, (0, 0)), "nothing to be left")


@pytest.mark.parametrize("kind", [kind for kind in SLOW if kind != "form with its model"])
def test_one_that_has_no_room_is_told_to_come_again(tmp_path: Path, kind: str) -> None:
    with gateway_with(tmp_path, max_body_bytes=MIB, max_coming_bytes=1, max_spool_bytes=MIB) as gateway:
        gateway.call(lambda running: setattr(running.overload.bodies, "max_memory", MIB // 2))
        with begin(gateway, kind, MIB) as client:
            sending = threading.Thread(target=send_slowly, args=(client,), daemon=True)
            gateway.call(lambda running: setattr(running.overload.bodies, "max_disk", MIB // 2))
            if kind == "file":
                # A file is on the disk only beyond what is kept in memory.
                gateway.call(lambda running: setattr(running.overload.bodies, "max_memory", MIB // 4))
            sending.start()
            head, body = client.read_answer()
            assert (head.status, head.header("retry-after")) == (503, "1")
            assert json.loads(body.payload)["error"]["code" if kind != "gemini" else "status"] in (
                "server_is_overloaded",
                "UNAVAILABLE",
            )
            sending.join(10)
        wait_until(lambda: (under_way(gateway), held(gateway)) == (0, (0, 0)), "nothing to be left")


@pytest.mark.parametrize("path", ["/v1/chat/completions", f"/v1beta/models/{ALIAS}:generateContent", "/v1/threads"])
def test_what_a_compressed_body_is_inflated_to_counts_too(tmp_path: Path, path: str) -> None:
    data = gzip.compress(b'{"model":"nothing","messages":[]%b}' % (b" " * (MIB // 2)))
    with gateway_with(tmp_path, max_body_bytes=MIB, max_coming_bytes=1) as gateway:

        def ask() -> tuple[int, str | None]:
            headers = {"authorization": f"Bearer {KEY}", "content-type": JSON, "content-encoding": "gzip"}
            with gateway.client() as client:
                client.request("POST", path, data, headers)
                answer, _ = client.read_answer()
                return answer.status, answer.header("retry-after")

        with begin(gateway, "chat", MIB) as slow:
            slow.send(b" " * (MIB - 100_000))
            wait_until(lambda: held(gateway)[0] > MIB // 2, "a body that is still coming")
            assert ask() == (503, "1")
        wait_until(lambda: (under_way(gateway), held(gateway)) == (0, (0, 0)), "nothing to be left")
        assert ask()[0] != 503
        wait_until(lambda: (under_way(gateway), held(gateway)) == (0, (0, 0)), "nothing to be left of that")


def send_slowly(client: RawClient) -> None:
    with contextlib.suppress(OSError):
        for _ in range(15):
            client.send(b"0" * 65_536)


@EACH
def test_a_body_that_comes_for_ever_is_ended(tmp_path: Path, kind: str) -> None:
    with gateway_with(tmp_path, body_timeout=1.0) as gateway, begin(gateway, kind) as client:
        stopped = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stopped.wait(0.1):
                    client.send(b"0")

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        head, _ = client.read_answer()
        stopped.set()
        dripping.join(10)
        assert head.status == 408
        wait_until(lambda: (under_way(gateway), held(gateway)) == (0, (0, 0)), "nothing to be left")


@needs_patching
@pytest.mark.parametrize(
    "fault", ["proxy.policies.access.AccessPolicy.admit", "proxy.endpoints.inference.UpstreamOrigin"]
)
def test_a_fault_of_the_gateway_leaves_nothing_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(fault, fail)
    with gateway_with(tmp_path) as gateway, begin(gateway, "form with its model") as client:
        client.send(b"0" * 100_000)
        assert client.read_answer()[0].status == 500
        wait_until(lambda: (under_way(gateway), held(gateway)) == (0, (0, 0)), "nothing to be left")


def test_a_long_answer_does_not_count_as_the_time_of_a_body(tmp_path: Path) -> None:
    gate = threading.Event()

    def answer(_: Any) -> list[Any]:
        gate.wait(10.0)
        return json_answer(JSON_ANSWER)

    with ScriptedUpstream(answer) as upstream:
        config = simple_config(tmp_path, upstream.base_url, server={"body_timeout": 0.5})
        with RunningGateway(config) as gateway, gateway.client() as client:
            gateway.chat(client, {"model": ALIAS, "messages": [{"role": "user", "content": "x" * 400_000}]})
            wait_until(lambda: bool(upstream.requests), "the upstream's request")
            threading.Timer(2.0, gate.set).start()
            assert client.read_answer()[0].status == 200


def test_requests_that_wait_behind_another_are_bounded_in_bytes(tmp_path: Path) -> None:
    """A hundred may wait, and each may be large: they are read no further, and served in their turn."""
    gate = threading.Event()

    def answer(_: Any) -> list[Any]:
        gate.wait(20.0)
        return json_answer(JSON_ANSWER)

    body = json.dumps({"model": ALIAS, "messages": [{"role": "user", "content": "x" * 60_000}]}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    count = 60
    with (
        ScriptedUpstream(answer) as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway,
        gateway.client(30.0) as client,
    ):
        sending = threading.Thread(target=client.send, args=((head + body) * count,), daemon=True)
        sending.start()
        wait_until(lambda: bool(upstream.requests), "the first one")
        wait_until(lambda: gateway.call(lambda running: running.pressure.held) > 262_144, "the others")
        assert gateway.call(lambda running: running.pressure.held) < 1_000_000
        gate.set()
        assert [client.read_answer()[0].status for _ in range(count)] == [200] * count
        sending.join(10)


def test_answers_that_nobody_reads_are_memory_that_something_frees(tmp_path: Path) -> None:
    """With them alone the grade of the memory is not cut down."""
    with gateway_with(tmp_path) as gateway:

        def grade(running: Any) -> int:
            running.overload.memory.grade = 2
            running.overload._apply()
            grade: int = running.overload.grade
            running.overload.memory.grade = 0
            running.overload._apply()
            return grade

        assert gateway.call(grade) == 1
        gateway.call(lambda running: setattr(running.overload.memory, "max_bytes", MIB))
        gateway.call(lambda running: setattr(running.pressure, "held", MIB))
        assert gateway.call(grade) == 2
