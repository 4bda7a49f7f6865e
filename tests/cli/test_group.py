"""The command's frame: the default command, laziness, wrong use, and where output goes in a real process."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from proxy.cli.group import COMMANDS, group
from proxy.errors import ConfigFault
from tests.cli.conftest import Run


def process(*args: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], cwd=folder, capture_output=True, text=True, timeout=30, check=False)


def imported(folder: Path, *args: str) -> set[str]:
    """The modules that a real process imports."""
    done = process("-X", "importtime", "-m", "proxy", *args, folder=folder)
    assert done.returncode == 0
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("args", [["--help"], ["version"], ["--version"], ["-V"], ["help"]])
def test_help_and_version_import_nothing_heavy(args: list[str], folder: Path) -> None:
    heavy = {"msgspec", "asyncio", "uvicorn", "starlette", "sqlite3", "httpx", "tomllib", "proxy.config.tree"}
    assert not imported(folder, *args) & heavy


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "serve"])
def test_each_command_is_where_the_table_says(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert isinstance(command, click.Command)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "serve"])
def test_each_command_has_help(name: str, run: Run) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "--json" in result.output or "Commands:" in result.output


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("config", ["check", "show", "schema"]),
        ("keys", ["create", "list", "revoke", "rotate"]),
        ("ledger", ["export"]),
    ],
)
def test_each_sub_command_takes_json(name: str, commands: list[str], run: Run) -> None:
    for command in commands:
        assert "--json" in run(name, command, "--help").stdout


@pytest.mark.parametrize("args", [[], ["--port", "0"], ["--config", "x.toml", "--port", "1"]])
def test_serve_is_the_default(args: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    context = {"ignore_unknown_options": True}
    serve = click.Command(
        "serve",
        context_settings=context,
        params=[click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)],
        callback=lambda rest: click.echo(f"served {list(rest)}"),
    )
    monkeypatch.setitem(sys.modules, "proxy.cli.serve", SimpleNamespace(command=serve))
    assert run(*args).stdout == f"served {args}\n"


def test_the_help_lists_every_command(run: Run) -> None:
    output = run("--help").stdout
    assert [name for name in COMMANDS if f"\n  {name} " not in output] == []


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_an_option(option: str, run: Run) -> None:
    assert run(option).stdout.startswith("prometheus-gateway ")


def test_our_errors_are_one_message_and_exit_code_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: click.Group, ctx: click.Context) -> None:
        raise ConfigFault("mend it so")

    monkeypatch.setattr(click.Group, "invoke", fail)
    result = run("version")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: mend it so\n")


def test_a_secret_is_alone_on_stdout_of_a_real_process(folder: Path) -> None:
    done = process("-m", "proxy", "keys", "create", "me", folder=folder)
    assert done.returncode == 0
    assert done.stdout.startswith("prom_sk_")
    assert done.stdout.count("\n") == 1
    assert done.stdout.strip() not in done.stderr
    assert "Key me" in done.stderr


@pytest.mark.parametrize(("args", "code"), [(["version"], 0), (["usage"], 1), (["usage", "--by", "moon"], 2)])
def test_exit_codes_of_a_real_process(args: list[str], code: int, folder: Path) -> None:
    done = process("-m", "proxy", *args, folder=folder)
    assert done.returncode == code
    assert bool(done.stderr) is bool(code)


def test_a_broken_pipe_ends_quietly(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "proxy", "config", "schema"]
    try:
        done = subprocess.run(
            command, cwd=folder, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    finally:
        os.close(writer)
    assert done.stderr == ""
