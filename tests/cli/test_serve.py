"""`serve` as users run it: a process, its ready block, its faults and its end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy.ledger.ledger import open_reports
from proxy.ledger.record import UsageRecord
from tests.fakes import RawClient

ALIASES = [
    "prometheus-spark",
    "prometheus-lite",
    "prometheus-core",
    "prometheus-vision",
    "prometheus-pulse",
    "prometheus-surge",
    "prometheus-atlas",
    "prometheus-echo",
]


class Running:
    """A running `serve`, with the lines of its ready block."""

    def __init__(self, process: "subprocess.Popen[str]", lines: list[str]) -> None:
        self.process = process
        self.lines = lines

    @property
    def url(self) -> str:
        return self.lines[-1].removeprefix("Ready: ")

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port
        return port

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """End it as a service manager does; gives the exit code and what it still said."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    return subprocess.Popen(
        [sys.executable, "-m", "proxy", "serve", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Running]:
    """A `serve` that is ready; it is gone on leaving."""
    with start(folder, *arguments) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if line.startswith(("Ready: ", "{")):
                    break
            yield Running(process, lines)
        finally:
            process.kill()


def failing(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and the complaint of a `serve` that does not come up."""
    with start(folder, *arguments) as process:
        out, err = process.communicate(timeout=20)
    assert not out
    return process.returncode, err


def rows(data_dir: Path) -> list[UsageRecord]:
    async def read() -> list[UsageRecord]:
        async with open_reports(data_dir) as reports:
            return [row async for row in reports.export()]

    return asyncio.run(read())


def test_the_demo_has_one_key_at_every_start(tmp_path: Path) -> None:
    keys = set()
    for _ in range(2):
        with running(tmp_path, "--port", "0") as serve:
            keys.add(serve.lines[2])
            serve.stop()
    assert len(keys) == 1
    assert stat.S_IMODE((tmp_path / "data" / "demo-key").stat().st_mode) == 0o600


def test_a_gateway_with_real_providers_does_not_know_the_demo_s_key(tmp_path: Path) -> None:
    with running(tmp_path, "--port", "0", "--json") as serve:
        secret = json.loads(serve.lines[0])["key"]
        serve.stop()
    (tmp_path / "prometheus.toml").write_text("[server]\nport = 0\n")
    with running(tmp_path) as serve, RawClient("127.0.0.1", serve.port) as client:
        client.request("GET", "/v1/models", headers={"authorization": f"Bearer {secret}"})
        assert client.read_answer()[0].status == 401


MODEL = """\
[upstreams.u]
base_url = "http://127.0.0.1:1/v1"
warm_connections = 0
[models.{}]
capability = "{}"
targets = ["u/x"]
"""


def make_key(folder: Path, *more: str) -> None:
    command = [sys.executable, "-m", "proxy", "keys", "create", "me", *more]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_a_port_in_use_is_told_with_a_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = failing(tmp_path, "--port", port)
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "--port" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("host", ["nosuch.invalid", "a..b", "192.0.2.1"])
def test_a_host_that_cannot_be_had_is_told_with_a_way_out(host: str, tmp_path: Path) -> None:
    code, said = failing(tmp_path, "--host", host, "--port", "0")
    assert code == 1
    assert f"cannot listen on {host}" in said
    assert "--host" in said
    assert "--port" not in said
    assert "('" not in said


@pytest.mark.parametrize("host", ["", "[::1]", "127.0.0.1:80", "a b"])
def test_what_is_no_host_is_wrong_use(host: str, tmp_path: Path) -> None:
    code, said = failing(tmp_path, "--host", host)
    assert code == 2
    assert "--host" in said


@pytest.mark.parametrize("port", ["abc", "70000", "-1", "80.5", ""])
def test_a_port_that_is_none_is_wrong_use_in_plain_words(port: str, tmp_path: Path) -> None:
    code, said = failing(tmp_path, f"--port={port}")
    assert code == 2
    assert f"'{port}' is not a whole number from 0 to 65535" in said


def test_make_says_how_to_give_it_another_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_GATEWAY_MADE", "1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        _, said = failing(tmp_path, "--port", str(taken.getsockname()[1]))
    assert "make run PORT=" in said


def test_all_faults_of_a_configuration_are_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[server]\nprot = 1\n[upstreams.u]\nbase_url = "ftp://h"\napi_key = "${NOT_SET_ANYWHERE}"\n'
        '[models.m]\ncapability = "chat"\ntargets = ["nobody/x"]\n'
    )
    code, said = failing(tmp_path, "--config", str(config))
    assert code == 1
    for fault in ("prot", "base_url", "NOT_SET_ANYWHERE", "nobody"):
        assert fault in said
    assert "Traceback" not in said


def test_a_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    code, said = failing(tmp_path, "--config", "missing.toml")
    assert code in (1, 2)
    assert "missing.toml" in said
    assert "Traceback" not in said


def test_a_wrong_option_is_wrong_use(tmp_path: Path) -> None:
    assert failing(tmp_path, "--prot", "1")[0] == 2


def test_a_configuration_in_the_working_directory_is_used(tmp_path: Path) -> None:
    (tmp_path / "prometheus.toml").write_text("[server]\nport = 0\n")
    with running(tmp_path) as serve:
        assert serve.lines[0].startswith("No models are configured yet")
        assert "Key:" not in "\n".join(serve.lines)
        assert serve.stop()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_with_all_stored(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, "--port", "0", "--json") as serve:
        ready = json.loads(serve.lines[0])
        with RawClient("127.0.0.1", urlsplit(ready["url"]).port or 0) as client:
            headers = {"authorization": f"Bearer {ready['key']}"}
            body = b'{"model":"prometheus-lite","messages":[{"role":"user","content":"demo:tokens=3"}]}'
            client.request("POST", "/v1/chat/completions", body, headers)
            assert client.read_answer()[0].status == 200
        code, _, said = serve.stop(number)
    assert (code, said) == (0, "")
    assert not list((tmp_path / "data" / "journal").iterdir())
    assert [row.outcome for row in rows(tmp_path / "data")] == ["complete"]


def test_an_answer_under_way_is_finished_before_the_end(tmp_path: Path) -> None:
    with running(tmp_path, "--port", "0", "--json") as serve:
        ready = json.loads(serve.lines[0])
        with RawClient("127.0.0.1", urlsplit(ready["url"]).port or 0) as client:
            headers = {"authorization": f"Bearer {ready['key']}"}
            body = (
                b'{"model":"prometheus-lite","stream":true,'
                b'"messages":[{"role":"user","content":"demo:tokens=10 demo:pace=0.05"}]}'
            )
            client.request("POST", "/v1/chat/completions", body, headers)
            client.read_head()
            serve.process.send_signal(signal.SIGTERM)
            got = client.read_chunked()
        assert serve.process.wait(20) == 0
    assert got.complete
    assert got.payload.endswith(b"data: [DONE]\n\n")
    assert [row.outcome for row in rows(tmp_path / "data")] == ["complete"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_says_what_is_waited_for_and_a_second_one_ends_it(tmp_path: Path, workers: str) -> None:
    with running(tmp_path, "--port", "0", "--json", "--workers", workers) as serve, contextlib.ExitStack() as stack:
        ready = json.loads(serve.lines[0])
        for _ in range(2):
            client = stack.enter_context(RawClient("127.0.0.1", urlsplit(ready["url"]).port or 0))
            body = (
                b'{"model":"prometheus-lite","stream":true,'
                b'"messages":[{"role":"user","content":"demo:tokens=1000 demo:pace=1"}]}'
            )
            headers = {"authorization": f"Bearer {ready['key']}"}
            client.request("POST", "/v1/chat/completions", body, headers)
            client.read_head()
        serve.process.send_signal(signal.SIGINT)
        assert serve.process.stderr is not None
        assert serve.process.stderr.readline() == "Waiting for 2 responses (30 s at most); Ctrl-C again ends now.\n"
        code, _, _ = serve.stop(signal.SIGINT)
    assert code == 0
