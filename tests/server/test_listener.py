"""The listening socket, and how the server on it ends."""

import asyncio
import errno
import json
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from proxy.config.tree import Server
from proxy.server.listener import CannotListen, InnerServer, Listener, address, bind
from tests.fakes import RawClient, ScriptedUpstream, WaitFor, json_answer, sse_answer
from tests.server.conftest import ANSWER
from tests.server.payloads import GOOD
from tests.serving import ALIAS, RunningGateway, simple_config
from tests.upstream.recording import run, until

DONE = b"data: [DONE]\n\n"
STREAM = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="the machine has no IPv6")


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Say hello to anybody."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def greet(host: str, family: socket.AddressFamily) -> tuple[str, bytes]:
    """Serve on a host; the address as it is told, and what a client gets there."""

    async def main() -> tuple[str, bytes]:
        ready = asyncio.Event()
        with bind(host, 0) as listening:
            assert listening.family == family
            listener = Listener(hello, Server(), ready.set)
            serving = asyncio.create_task(listener.serve(sockets=[listening]))
            await ready.wait()
            url = address(listening)
            reader, writer = await asyncio.open_connection(host, listening.getsockname()[1])
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            listener.should_exit = True
            await serving
        return url, answer

    return run(main())


def test_port_0_picks_a_free_one() -> None:
    with bind("127.0.0.1", 0) as first, bind("127.0.0.1", 0) as second:
        assert first.getsockname()[1] != second.getsockname()[1] > 0


def test_a_port_in_use_is_an_error_that_says_how_to_mend_it() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen) as refused:
            bind("127.0.0.1", port)
    assert f"127.0.0.1:{port}" in refused.value.message
    assert "--port" in refused.value.message
    assert "in use" in refused.value.message


@pytest.mark.parametrize("host", ["192.0.2.1", "does-not-exist.invalid", "fe80::1:2"])
def test_an_address_of_another_machine_is_an_error(host: str) -> None:
    with pytest.raises(CannotListen):
        bind(host, 0)


def test_an_address_is_told_as_a_url() -> None:
    url, answer = greet("127.0.0.1", socket.AF_INET)
    assert url.startswith("http://127.0.0.1:")
    assert answer.endswith(b"\r\n\r\nhello")


@needs_ipv6
def test_ipv6_is_served_and_told_in_brackets() -> None:
    url, answer = greet("::1", socket.AF_INET6)
    assert url.startswith("http://[::1]:")
    assert answer.endswith(b"\r\n\r\nhello")


def test_connections_inherit_that_small_packets_leave_at_once() -> None:
    with bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_header_names_the_server() -> None:
    _, answer = greet("127.0.0.1", socket.AF_INET)
    assert b"\r\nserver:" not in answer.lower()


def test_a_stop_waits_for_a_running_stream(tmp_path: Path) -> None:
    go = threading.Event()
    *beginning, end = sse_answer(STREAM + DONE, [len(STREAM)])
    with ScriptedUpstream() as upstream:
        upstream.script([*beginning[:2], WaitFor(go), *beginning[2:], end])
        with RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway, gateway.client() as client:
            gateway.chat(client, {"model": ALIAS, "messages": [], "stream": True})
            client.read_head()
            stopping = threading.Thread(target=gateway.stop)
            stopping.start()
            refuses_connections(gateway.port)
            go.set()
            body = client.read_chunked()
            assert body.complete
            assert body.payload.endswith(DONE)
            stopping.join(20)


def test_a_stop_closes_idle_connections_at_once(tmp_path: Path) -> None:
    with (
        ScriptedUpstream(lambda _: json_answer(ANSWER)) as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway,
        gateway.client() as client,
    ):
        client.send(GOOD)
        client.read_answer()
        gateway.stop()
        assert client.read_all() == b""


def test_a_stream_that_outlasts_the_stop_is_told_and_cut(tmp_path: Path) -> None:
    never = threading.Event()
    with ScriptedUpstream() as upstream:
        upstream.script([*sse_answer(STREAM)[:-1], WaitFor(never)])
        settings = {"shutdown_timeout": 1.0}
        with (
            RunningGateway(simple_config(tmp_path, upstream.base_url, server=settings)) as gateway,
            gateway.client() as client,
        ):
            gateway.chat(client, {"model": ALIAS, "messages": [], "stream": True})
            client.read_head()
            gateway.stop()
            body = client.read_chunked()
            assert not body.complete
            last = body.payload.strip().split(b"\n\n")[-1]
            assert json.loads(last.partition(b"data: ")[2])["error"]["code"] == "gateway_shutdown"
        never.set()


def refuses_connections(port: int) -> None:
    """Wait until the gateway takes no more connections."""
    pause = threading.Event()
    for _ in range(500):
        try:
            with RawClient("127.0.0.1", port, seconds=1.0):
                pause.wait(0.01)
        except OSError:
            return
    raise AssertionError("it still takes connections")


def test_an_inner_server_leaves_signals_alone() -> None:
    async def main() -> None:
        inner = InnerServer(hello)
        with bind("127.0.0.1", 0) as listening:
            serving = asyncio.create_task(inner.serve(sockets=[listening]))
            await until(lambda: inner.started)
            inner.should_exit = True
            await serving

    before = handlers()
    run(main())
    assert handlers() == before


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_ready_is_told_once_the_socket_serves() -> None:
    told: list[bool] = []

    async def main() -> None:
        with bind("127.0.0.1", 0) as listening:
            listener = Listener(hello, Server(), lambda: told.append(True))
            serving = asyncio.create_task(listener.serve(sockets=[listening]))
            await until(lambda: told == [True])
            listener.should_exit = True
            await serving

    run(main())
