"""`init`: writes the example, and not over another file."""

import json
from pathlib import Path

from proxy.cli.example import EXAMPLE
from tests.cli.conftest import Run


def test_the_example_is_written(run: Run, folder: Path) -> None:
    result = run("init")
    assert (result.exit_code, result.stdout) == (0, "prometheus.toml\n")
    assert (folder / "prometheus.toml").read_text() == EXAMPLE


def test_another_name_may_be_given(run: Run, folder: Path) -> None:
    assert json.loads(run("init", "other.toml", "--json").stdout) == {"file": "other.toml"}
    assert (folder / "other.toml").read_text() == EXAMPLE


def test_a_file_that_is_there_stays(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text("mine")
    result = run("init")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--force" in result.stderr
    assert (folder / "prometheus.toml").read_text() == "mine"


def test_force_overwrites(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text("mine")
    assert run("init", "--force").exit_code == 0
    assert (folder / "prometheus.toml").read_text() == EXAMPLE


def test_a_place_that_cannot_be_written_is_an_error(run: Run) -> None:
    result = run("init", "no/such/folder.toml")
    assert result.exit_code == 1
    assert "cannot be written: No such file or directory" in result.stderr


def test_the_next_steps_include_a_key_and_the_limits_of_an_alias(run: Run) -> None:
    steps = run("init").stderr
    assert (
        steps.index("OPENAI_API_KEY") < steps.index("config check") < steps.index("keys create") < steps.index("serve")
    )
    assert "are translated" in steps
    assert "by translation" in EXAMPLE


def test_the_next_steps_name_another_file(run: Run) -> None:
    steps = run("init", "my gateway.toml").stderr
    assert "prometheus-gateway serve --config 'my gateway.toml'" in steps


def test_the_prices_are_said_to_be_examples(run: Run) -> None:
    assert "YOUR PRICES" in EXAMPLE
