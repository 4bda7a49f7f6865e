"""The gateway under a service manager: sockets that are kept open across restarts, and what the manager is told."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.exchange.samples import wait_until
from tests.fakes import RawClient

NOTHING = "[server]\nport = 0\ndrain_notice = 0\n"


@contextmanager
def serving(
    folder: Path, *arguments: str, sock: socket.socket | None = None, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A `serve` that is ready, with an inherited socket as its descriptor 3."""
    (folder / "prometheus.toml").write_text(NOTHING)

    def hand_over() -> None:
        if sock is not None:
            os.dup2(sock.fileno(), 3)

    # The shell becomes the gateway: its process id is what systemd would name.
    command = 'LISTEN_PID=$$ exec "$0" -m proxy serve "$@"'
    with subprocess.Popen(
        ["sh", "-c", command, sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        close_fds=sock is None,
        preexec_fn=hand_over,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Ready: "):
                    break
            else:
                assert process.stderr is not None
                raise AssertionError(process.stderr.read())
            # Nobody reads the access lines otherwise, and they would fill the pipe.
            reading = threading.Thread(target=process.stdout.read, name="reading")
            reading.start()
            yield process
        finally:
            process.kill()
    reading.join()


def alive(port: int) -> int:
    with RawClient("127.0.0.1", port, seconds=20.0) as client:
        client.request("GET", "/livez", headers={"connection": "close"})
        return client.read_answer()[0].status


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_handed_over_socket_is_served(tmp_path: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        with serving(tmp_path, "--workers", workers, sock=sock, env={"LISTEN_FDS": "1"}) as process:
            assert alive(sock.getsockname()[1]) == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        # It is still there: what connects now waits for the next one.
        with socket.create_connection(sock.getsockname(), timeout=5):
            pass


class Caller(threading.Thread):
    """Connects and asks without a pause, each time on a connection of its own."""

    def __init__(self, port: int, stop: threading.Event) -> None:
        super().__init__(name="caller")
        self._port = port
        self._ended = stop
        self.answered = 0
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                assert alive(self._port) == 200
                self.answered += 1
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))


def answered(callers: list[Caller], count: int) -> bool:
    """Whether so many connections were answered, or one was not."""
    return sum(caller.answered for caller in callers) >= count or any(caller.failures for caller in callers)


def restart(folder: Path, restarts: int, *arguments: str, callers: int = 3) -> int:
    """Restart the gateway on a socket that stays open, while some connect all the time; how many were answered."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=512) as sock:
        threads = [Caller(sock.getsockname()[1], stop) for _ in range(callers)]
        try:
            for number in range(restarts + 1):
                enough = sum(thread.answered for thread in threads) + 3
                with serving(folder, "--fd", "3", *arguments, sock=sock) as process:
                    if not number:
                        for thread in threads:
                            thread.start()
                    wait_until(partial(answered, threads, enough), "answers", 20.0)
                    if number == restarts:
                        stop.set()
                        for thread in threads:
                            thread.join()
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(20) == 0
        finally:
            stop.set()
    assert [failure for thread in threads for failure in thread.failures] == []
    return sum(thread.answered for thread in threads)


def test_restarts_refuse_and_reset_no_connection(tmp_path: Path) -> None:
    assert restart(tmp_path, 5, callers=2) > 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_two_hundred_restarts(tmp_path: Path, workers: str) -> None:
    answered = restart(tmp_path, 200, "--workers", workers)
    print(f"\n200 restarts with {workers} worker(s), {answered} connections meanwhile: 0 refused, 0 reset")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_manager_is_told_of_each_step(tmp_path: Path, workers: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(10)

        def told() -> str:
            """The next step; signs of life are passed over."""
            while (message := manager.recv(1_000).decode().partition("\n")[0]) == "WATCHDOG=1":
                pass
            return message

        env = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "200000"}
        with serving(tmp_path, "--workers", workers, env=env) as process:
            assert told() == "READY=1"
            for _ in range(3):
                assert manager.recv(1_000) == b"WATCHDOG=1"
            process.send_signal(signal.SIGHUP)
            assert (told(), told()) == ("RELOADING=1", "READY=1")
            process.send_signal(signal.SIGTERM)
            assert told() == "STOPPING=1"
            assert process.wait(20) == 0


def falls_silent(manager: socket.socket) -> bool:
    """Whether nothing comes for the socket's timeout, once what had been sent is read."""
    try:
        for _ in range(100):
            manager.recv(1_000)
    except TimeoutError:
        return True
    return False


def test_a_loop_that_hangs_gives_no_sign_of_life(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        env = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "100000"}
        with serving(tmp_path, env=env) as process:
            process.send_signal(signal.SIGSTOP)
            manager.settimeout(0.3)
            assert falls_silent(manager)
            process.send_signal(signal.SIGCONT)
            manager.settimeout(10)
            while manager.recv(1_000) != b"WATCHDOG=1":
                pass


def test_a_descriptor_that_is_no_socket_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--fd", "0"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "descriptor 0 is no socket" in done.stderr
