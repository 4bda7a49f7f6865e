"""What a service manager is told."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.process.systemd import Notifier


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """Who listens, as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(5)
        yield listening


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_manager_is_told_how_the_process_fares(tmp_path: Path, kind: str) -> None:
    name = str(tmp_path / "n") if kind == "path" else f"@prometheus-test-{os.getpid()}"
    with manager(name.replace("@", "\0") if kind == "abstract" else name) as listening:
        notifier = Notifier({"NOTIFY_SOCKET": name})
        notifier.ready("http://a")
        notifier.alive()
        notifier.stopping()
        told = [listening.recv(1_000).decode() for _ in range(3)]
        notifier.close()
    assert told == ["READY=1\nSTATUS=Serving http://a", "WATCHDOG=1", "STOPPING=1\nSTATUS=Finishing what runs"]


def test_a_reload_is_told_with_the_moment_of_its_beginning(tmp_path: Path) -> None:
    with manager(str(tmp_path / "n")) as listening:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")})
        notifier.reloading()
        first, second = listening.recv(1_000).decode().splitlines()
        notifier.close()
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert int(second.partition("=")[2]) > 0


def test_signs_of_life_come_at_half_of_what_is_allowed(tmp_path: Path) -> None:
    base = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "20000000"}
    for guarded, seconds in (({}, 10.0), ({"WATCHDOG_PID": str(os.getpid())}, 10.0), ({"WATCHDOG_PID": "1"}, 0.0)):
        notifier = Notifier({**base, **guarded})
        assert notifier.watchdog == seconds
        notifier.close()


def test_children_do_not_speak_to_the_manager() -> None:
    environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    Notifier(environment).close()
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/to/be/found"}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_where_nobody_listens_nothing_happens(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    notifier.ready("http://a")
    notifier.close()
    notifier.alive()
