"""The demo provider's command line."""

import socket
import subprocess
import sys

import httpx
from click.testing import CliRunner

from proxy.demo.__main__ import main


def test_the_help_names_the_options() -> None:
    assert "--token-interval" in CliRunner().invoke(main, ["--help"]).output


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(main, ["--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1
    assert "Choose another --port" in result.output


def test_it_serves_on_the_printed_address_with_the_given_key() -> None:
    command = [sys.executable, "-m", "proxy.demo", "--api-key", "secret"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().strip() for _ in range(2)]
            address = lines[1].removeprefix("listening on ")
            headers = {"authorization": f"Bearer {lines[0].removeprefix('key: ')}"}
            answer = httpx.get(f"{address}/models", headers=headers, timeout=10, trust_env=False)
        finally:
            process.terminate()
    assert lines[0] == "key: secret"
    assert answer.status_code == 200
