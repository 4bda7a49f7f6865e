"""Whether a proxy buffers: judged by times, and through a real gateway and a proxy that holds everything back."""

import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy.cli import stream_check
from proxy.cli.stream_check import Timed, check_stream, judged
from proxy.endpoints import health
from tests.serving import RunningGateway, simple_config

EVENTS = "text/event-stream; charset=utf-8"
EVEN = (0.01, 0.26, 0.51, 0.76)


def test_it_knows_the_stream_that_the_gateway_serves() -> None:
    assert (stream_check.PATH, stream_check.EVENTS) == (health.STREAM_PATH, health.STREAM_EVENTS)
    assert stream_check.EVENT_SECONDS == health.STREAM_SECONDS


@pytest.mark.parametrize(
    ("timed", "state", "words"),
    [
        (Timed(200, EVENTS, "", EVEN), "ok", "first byte came after 10 ms"),
        (Timed(200, EVENTS, "", (0.76, 0.76, 0.76, 0.76)), "fail", "buffered"),
        (Timed(200, EVENTS, "gzip", EVEN), "warn", "compressed (gzip)"),
        (Timed(200, EVENTS, "", EVEN[:2]), "fail", "cut after 2 of 4"),
        (Timed(502, "text/html", "", ()), "fail", "cannot reach the gateway"),
        (Timed(404, "text/html", "", ()), "fail", "status 404"),
        (Timed(200, "text/html", "", EVEN), "fail", "text/html"),
    ],
)
def test_times_are_judged(timed: Timed, state: str, words: str) -> None:
    found = judged(timed)
    assert found.state == state
    assert words in found.message
    assert bool(found.hint) == (state != "ok")


def test_a_gateway_without_a_proxy_passes(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway:
        assert check_stream(gateway.url).state == "ok"


def test_a_proxy_that_holds_everything_back_fails_with_what_to_mend(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def hold() -> None:
            client, _ = listening.accept()
            to = urlsplit(gateway.url)
            with client, socket.create_connection((to.hostname, to.port or 80)) as server:
                server.sendall(client.recv(65_536).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                held = b""
                while piece := server.recv(65_536):
                    held += piece
                client.sendall(held)

        proxy = threading.Thread(target=hold)
        proxy.start()
        found = check_stream(f"http://127.0.0.1:{listening.getsockname()[1]}")
        proxy.join()
    assert found.state == "fail"
    assert "buffered" in found.message
    assert "proxy_buffering off" in found.hint


@pytest.mark.parametrize("url", ["api.example.com", "ftp://x", "http://127.0.0.1:1"])
def test_what_cannot_be_reached_fails(url: str) -> None:
    assert check_stream(url).state == "fail"
