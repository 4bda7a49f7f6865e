"""Commands on a real terminal: what fits it, and what has a colour there."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.ledger.record import UsageRecord
from tests.cli.conftest import Run, row
from tests.fakes import RawClient

Stored = Callable[[Sequence[UsageRecord]], None]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
QUIET = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM")


class Terminal:
    """A process on a pseudo terminal, and what it has written so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", watching: int) -> None:
        self.process = process
        self._watching = watching
        self.text = ""

    def read_until(self, pattern: str) -> "re.Match[str]":
        """Read on until something matches."""
        deadline = time.monotonic() + 30
        while (found := re.search(pattern, self.text)) is None:
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text
        return found

    def read_to_the_end(self) -> str:
        while self._read():
            pass
        return self.text

    def _read(self) -> bool:
        try:
            piece = os.read(self._watching, 65_536)
        except OSError:
            # The last one that wrote has ended.
            return False
        self.text += piece.decode().replace("\r\n", "\n")
        return bool(piece)


@contextmanager
def on_terminal(folder: Path, columns: int, *args: str, **environment: str) -> Iterator[Terminal]:
    """Run the command line in a folder, on a terminal of so many columns."""
    watching, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in QUIET} | {"TERM": "xterm", **environment}
    command = [sys.executable, "-m", "proxy", *args]
    with subprocess.Popen(command, cwd=folder, env=env, stdin=writing, stdout=writing, stderr=writing) as process:
        os.close(writing)
        try:
            yield Terminal(process, watching)
        finally:
            process.kill()
            os.close(watching)


def shown(folder: Path, columns: int, *args: str, **environment: str) -> str:
    with on_terminal(folder, columns, *args, **environment) as terminal:
        return terminal.read_to_the_end()


def access_line(folder: Path, columns: int, *options: str, **environment: str) -> str:
    """The line of one request to the demo, as it looks on a terminal."""
    with on_terminal(folder, columns, "serve", "--port", "0", *options, **environment) as terminal:
        port = int(terminal.read_until(r"Ready: http://127\.0\.0\.1:([0-9]+)\n")[1])
        secret = terminal.read_until(r"Key: +(\S+)\n")[1]
        with RawClient("127.0.0.1", port) as client:
            body = b'{"model":"prometheus-core","messages":[{"role":"user","content":"demo:tokens=3"}]}'
            client.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {secret}"})
            assert client.read_answer()[0].status == 200
        line = terminal.read_until(r"\n([0-9:]{8} [^\n]*completions[^\n]*)\n")[1]
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(20) == 0
    return line


def test_an_access_line_fits_80_columns_and_is_coloured(tmp_path: Path) -> None:
    line = access_line(tmp_path, 80)
    assert "\x1b[32m200\x1b[0m" in line
    plain = COLOUR.sub("", line)
    assert len(plain) <= 80
    assert " prometheus-core " in plain
    assert plain.endswith(" demo")


def test_a_wide_terminal_has_the_whole_line(tmp_path: Path) -> None:
    assert " overhead " in access_line(tmp_path, 200)


@pytest.mark.parametrize(
    ("options", "environment", "coloured"),
    [
        (("--color", "never"), {}, False),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        ((), {"NO_COLOR": "1"}, False),
        (("--workers", "2"), {}, True),
        (("--workers", "2", "--color", "never"), {}, False),
    ],
)
def test_colours_can_be_had_and_left_out(
    options: tuple[str, ...], environment: dict[str, str], coloured: bool, tmp_path: Path
) -> None:
    assert ("\x1b[" in access_line(tmp_path, 80, *options, **environment)) is coloured


@pytest.mark.parametrize("columns", [60, 80])
def test_tables_fit_the_terminal(columns: int, folder: Path, run: Run, stored: Stored) -> None:
    run("keys", "create", "me", "--models", "a,b", "--expires", "30d")
    stored([row(1, cached_input_tokens=5, usage_source="estimated"), row(2, cost=None)])
    for command in ("usage --by key", "usage", "keys list --all"):
        table = shown(folder, columns, *command.split()).partition("Left out")[0]
        assert max(map(len, table.splitlines())) <= columns


def test_doctor_wraps_its_lines_and_colours_their_states(folder: Path) -> None:
    (folder / "prometheus.toml").write_text('[upstreams.u]\nbase_url = "http://127.0.0.1:1/v1/chat/completions"\n')
    text = shown(folder, 60, "doctor")
    assert "\x1b[31mfail" in text
    assert "\x1b[33mwarn" in text
    assert max(map(len, COLOUR.sub("", text).splitlines())) <= 60
    assert "\x1b" not in shown(folder, 60, "doctor", NO_COLOR="1")


def test_json_on_a_terminal_has_no_colour(folder: Path) -> None:
    assert "\x1b" not in shown(folder, 80, "doctor", "--offline", "--json", FORCE_COLOR="1")
