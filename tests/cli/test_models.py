"""`models`: the aliases, without a credential at hand."""

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_aliases_are_listed_with_targets_and_prices(run: Run) -> None:
    run("init")
    lines = run("models").stdout.splitlines()
    assert len(lines) == 9
    assert lines[3].endswith("chat        openai/gpt-5                   input 1.10 per 1M, output 4.40 per 1M")
    assert lines[-1].endswith("minute 0.006 a minute")


def test_as_json_prices_are_exact_strings(run: Run) -> None:
    run("init")
    assert json.loads(run("models", "--json").stdout)[2] == {
        "alias": "prometheus-core",
        "capability": "chat",
        "targets": ["openai/gpt-5"],
        "price": {"input": "1.10", "output": "4.40"},
    }


def test_an_alias_without_a_price_says_so(run: Run, folder: Path) -> None:
    text = '[upstreams.u]\nbase_url = "http://h"\n[models.m]\ncapability = "chat"\ntargets = ["u/x", "u/y"]\n'
    (folder / "prometheus.toml").write_text(text)
    assert run("models").stdout.splitlines()[1] == "m      chat        u/x, u/y  unpriced"


def test_no_aliases_are_an_empty_list_and_a_hint(run: Run) -> None:
    assert json.loads(run("models", "--json").stdout) == []
    assert "prometheus-gateway init" in run("models").stderr
