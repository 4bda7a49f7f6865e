"""`models`: the aliases, without a credential at hand."""

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_aliases_are_listed_with_targets_and_prices(run: Run) -> None:
    run("init")
    lines = run("models").stdout.splitlines()
    assert " ".join(lines[0].split()) == "ALIAS CAPABILITY FORMATS TARGETS USD PER 1M"
    assert " ".join(lines[3].split()) == "prometheus-core chat openai openai/o4-mini 1.10 in 4.40 out"
    assert lines[-1].endswith("openai/whisper-1        0.006 a minute")
    assert "minute 0.006" not in lines[-1]
    assert max(map(len, lines)) <= 80


def test_a_wider_terminal_breaks_nothing(run: Run) -> None:
    run("init")
    lines = run("models", COLUMNS="120").stdout.splitlines()
    assert len(lines) == 9
    assert "openai/text-embedding-3-small" in lines[7]


def test_the_formats_of_an_alias_are_those_of_its_targets(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text(
        '[upstreams.a]\nkind = "anthropic"\napi_key = "k"\n[upstreams.o]\nkind = "openai"\napi_key = "k"\n'
        '[upstreams.g]\nkind = "gemini"\napi_key = "k"\n[upstreams.v]\nkind = "vllm"\nbase_url = "http://h/v1"\n'
        '[models.one]\ncapability = "chat"\ntargets = ["a/x"]\n'
        '[models.all]\ncapability = "chat"\ntargets = ["g/x", "a/x", "o/x"]\n'
        '[models.own]\ncapability = "chat"\ntargets = ["v/x"]\n'
    )
    found = {model["alias"]: model["formats"] for model in json.loads(run("models", "--json").stdout)}
    assert found == {"one": ["anthropic"], "all": ["openai", "anthropic", "gemini"], "own": ["openai", "anthropic"]}
    assert " ".join(run("models").stdout.splitlines()[1].split()) == "one chat anthropic a/x unpriced"
    assert "docs/translation.md" in run("models").stderr


def test_as_json_prices_are_exact_strings(run: Run) -> None:
    run("init")
    assert json.loads(run("models", "--json").stdout)[2] == {
        "alias": "prometheus-core",
        "capability": "chat",
        "formats": ["openai"],
        "translated": ["/v1/messages"],
        "targets": ["openai/o4-mini"],
        "price": {"input": "1.10", "output": "4.40"},
    }


def test_an_alias_without_a_price_says_so(run: Run, folder: Path) -> None:
    text = '[upstreams.u]\nbase_url = "http://h"\n[models.m]\ncapability = "chat"\ntargets = ["u/x", "u/y"]\n'
    (folder / "prometheus.toml").write_text(text)
    assert run("models").stdout.splitlines()[1] == "m      chat        openai   u/x, u/y  unpriced"


def test_the_formats_that_an_upstream_names_itself_count(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text(
        '[upstreams.u]\nbase_url = "http://h/v1"\nformats = ["anthropic", "openai"]\n'
        '[models.m]\ncapability = "chat"\ntargets = ["u/x"]\n'
    )
    assert json.loads(run("models", "--json").stdout)[0]["formats"] == ["openai", "anthropic"]


def test_no_aliases_are_an_empty_list_and_a_hint(run: Run) -> None:
    assert json.loads(run("models", "--json").stdout) == []
    assert "prometheus-gateway init" in run("models").stderr
