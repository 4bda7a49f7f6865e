"""`config check|show|schema`."""

import json
import tomllib
from pathlib import Path

import pytest

from proxy.admin.provider_keys import ProviderKeys
from proxy.config.load import load
from tests.cli.conftest import Run

SECRET = "sk-a-long-secret-7890"
FILE = '[upstreams.u]\nbase_url = "http://h/v1"\napi_key = "${OPENAI_API_KEY}"\n'


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "prometheus.toml"
    path.write_text(FILE)
    return path


def test_a_good_file_has_no_faults(run: Run, file: Path) -> None:
    result = run("config", "check", OPENAI_API_KEY=SECRET)
    assert (result.exit_code, result.stdout) == (0, "prometheus.toml: no faults; upstreams: 1, aliases: 0\n")


def test_faults_are_named_with_file_line_and_key(run: Run, file: Path) -> None:
    result = run("config", "check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "prometheus.toml:3: upstreams.u.api_key: the environment variable OPENAI_API_KEY is not set" in result.stderr


def test_faults_as_json_go_to_stdout(run: Run, file: Path) -> None:
    result = run("config", "check", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"]) == (1, False)
    assert (document["problems"][0]["line"], document["problems"][0]["key"]) == (3, "upstreams.u.api_key")


def test_no_faults_as_json(run: Run, file: Path) -> None:
    result = run("config", "check", "--json", OPENAI_API_KEY=SECRET)
    assert json.loads(result.stdout) == {"ok": True, "problems": [], "warnings": []}


ODD = '[upstreams.u]\nbase_url = "http://example.com/v1"\napi_key = "k"\n'


@pytest.mark.parametrize("args", [[], ["--json"]])
def test_a_warning_is_no_fault(args: list[str], run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text(ODD)
    assert run("config", "check", *args).exit_code == 0


def test_warnings_are_talk(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text(ODD)
    result = run("config", "check")
    assert "warning: prometheus.toml:2: upstreams.u.base_url: the credential goes to example.com" in result.stderr
    assert "warning" not in result.stdout


def test_warnings_as_json_stand_beside_the_faults(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text(ODD)
    (warning,) = json.loads(run("config", "check", "--json").stdout)["warnings"]
    assert (warning["line"], warning["key"]) == (2, "upstreams.u.base_url")


def test_the_file_may_be_an_argument(run: Run, folder: Path) -> None:
    (folder / "other.toml").write_text("a = 1")
    assert "other.toml:1: a: no such key" in run("config", "check", "other.toml").stderr


@pytest.mark.parametrize("args", [[], ["a.toml", "--config", "b.toml"]])
def test_checking_nothing_or_two_files_is_a_wrong_use(args: list[str], run: Run) -> None:
    assert run("config", "check", *args).exit_code == 2


@pytest.mark.parametrize("args", [[], ["--json"]])
def test_what_is_shown_holds_no_secret(args: list[str], run: Run, file: Path) -> None:
    result = run("config", "show", *args, OPENAI_API_KEY=SECRET)
    document = json.loads(result.stdout) if args else tomllib.loads(result.stdout)
    assert document["upstreams"]["u"]["api_key"] == "****7890"
    assert SECRET not in result.output


def test_without_a_file_the_defaults_are_shown(run: Run) -> None:
    assert "port = 8080" in run("config", "show").stdout


def test_the_schema_is_json(run: Run) -> None:
    assert json.loads(run("config", "schema").stdout)["title"] == "Prometheus Gateway configuration"


@pytest.mark.parametrize("text", ["", "# nothing\n", "[server]\nport = 1\n"])
def test_a_file_without_anything_to_serve_is_warned_of(text: str, run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text(text)
    result = run("config", "check")
    assert result.exit_code == 0
    assert "warning: prometheus.toml: has no upstreams and no aliases" in result.stderr
    assert "prometheus-gateway init" in result.stderr
    (warning,) = json.loads(run("config", "check", "--json").stdout)["warnings"]
    assert "has no upstreams and no aliases" in warning["message"]


def test_an_alias_that_anthropic_s_endpoints_refuse_is_warned_of(run: Run, folder: Path) -> None:
    run("init")
    with (folder / "prometheus.toml").open("a") as file:
        file.write('[models.off]\ncapability = "chat"\ntargets = ["openai/x"]\ntranslate = "off"\n')
    result = run("config", "check", OPENAI_API_KEY="sk")
    assert result.exit_code == 0
    assert result.stderr.count("/v1/messages") == 1


@pytest.mark.parametrize("arguments", [(), ("--json",)])
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("http://127.0.0.1/${TOKEN}/v1", "http://127.0.0.1/****/v1"),
        ("http://127.0.0.1/a/x${TOKEN}y/${TOKEN}", "http://127.0.0.1/a/x****y/****"),
        ("${ADDRESS}", "****"),
    ],
)
def test_what_a_reference_in_an_address_stands_for_is_not_shown(
    run: Run, folder: Path, written: str, shown: str, arguments: tuple[str, ...]
) -> None:
    (folder / "prometheus.toml").write_text(f'[upstreams.u]\nbase_url = "{written}"\n')
    said = run("config", "show", *arguments, TOKEN="s3cret-t0ken", ADDRESS="http://127.0.0.1/s3cret-t0ken/v1").stdout
    assert f'"{shown}"' in said
    assert "s3cret" not in said


def test_show_names_a_key_that_was_rotated(folder: Path, run: Run) -> None:
    text = '[upstreams.vendor]\nbase_url = "http://127.0.0.1:9/v1"\napi_key = "sk-of-the-file-1111"\n'
    (folder / "prometheus.toml").write_text(text)
    (folder / "data").mkdir()
    keys = ProviderKeys(folder / "data")
    keys.adopt(load(folder / "prometheus.toml", {}), {})
    keys.start("vendor", "sk-that-was-rotated-2222")
    before = run("config", "show")
    assert 'api_key = "****1111"' in before.stdout
    assert "rotated" not in before.stderr
    keys.promote("vendor")
    after = run("config", "show")
    assert 'api_key = "****2222"' in after.stdout
    assert "[upstreams.vendor] is not the file's" in after.stderr
    (folder / "prometheus.toml").write_text(text.replace("1111", "3333"))
    assert 'api_key = "****3333"' in run("config", "show").stdout
