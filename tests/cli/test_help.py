"""`help`: the same as `--help`, of any command."""

from tests.cli.conftest import Run


def test_help_is_a_command(run: Run) -> None:
    assert run("help").stdout == run("--help").stdout
    assert run("help", "keys").stdout == run("keys", "--help").stdout
    assert run("help", "keys", "create").stdout == run("keys", "create", "--help").stdout
