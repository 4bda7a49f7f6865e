"""The demo provider's command line."""

import signal
import socket
import subprocess
import sys

import httpx
import pytest

from proxy.demo.__main__ import main


@pytest.mark.parametrize("option", ["--port", "--api-key", "--first-token-delay", "--token-interval"])
def test_the_help_names_every_option(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert option in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--port", "65536"], ["--port", "-1"], ["--token-interval", "nan"], ["--first-token-delay", "601"]]
)
def test_a_wrong_value_is_wrong_use(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_a_taken_port_is_an_error_that_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 1
    assert "Choose another --port" in capsys.readouterr().err


def test_it_serves_on_the_printed_address_with_the_given_key() -> None:
    command = [sys.executable, "-m", "proxy.demo", "--api-key", "secret"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().strip() for _ in range(2)]
            address = lines[1].removeprefix("listening on ")
            headers = {"authorization": f"Bearer {lines[0].removeprefix('key: ')}"}
            answer = httpx.get(f"{address}/models", headers=headers, timeout=10, trust_env=False)
        finally:
            process.send_signal(signal.SIGINT)
            talk = process.communicate(timeout=10)[1]
    assert lines[0] == "key: secret"
    assert answer.status_code == 200
    assert (process.returncode, talk) == (0, "")
