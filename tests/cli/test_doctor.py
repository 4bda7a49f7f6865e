"""`doctor`: what is found is printed a line each, and a failure is the exit code."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.fakes import ScriptedUpstream, json_answer

FILE = '[upstreams.u]\nbase_url = "http://127.0.0.1:1/v1"\n'


def test_a_sound_installation_passes(run: Run) -> None:
    result = run("doctor", "--offline")
    assert result.exit_code == 0
    assert "ok    configuration: there is none: serve runs the demo" in result.stdout


def test_a_fault_of_the_configuration_fails_and_the_rest_is_still_looked_at(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text('[upstreams.u]\nbase_url = "${NO_SUCH_VARIABLE}"\n')
    result = run("doctor")
    assert result.exit_code == 1
    assert "fail  configuration: prometheus.toml:2: upstreams.u.base_url" in result.stdout
    assert "data directory" in result.stdout


def test_as_json(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text("a = 1")
    result = run("doctor", "--offline", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"]) == (1, False)
    assert {"name", "state", "message", "hint"} == set(document["checks"][0])


def test_upstreams_are_reached_for(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text(FILE)
    result = run("doctor")
    assert result.exit_code == 1
    assert "fail  upstream u: 127.0.0.1:1 refused" in result.stdout


def test_offline_reaches_for_nobody(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text(FILE)
    result = run("doctor", "--offline")
    assert result.exit_code == 0
    assert "warn  configuration: prometheus.toml has no aliases" in result.stdout


def test_the_store_is_read_after_it_was_made(run: Run) -> None:
    run("keys", "create", "me")
    assert "ok    keys.db: data/keys.db can be read" in run("doctor", "--offline").stdout


def test_a_warning_of_the_configuration_is_a_line_and_no_failure(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text('[upstreams.u]\nbase_url = "http://example.com"\napi_key = "k"\n')
    result = run("doctor", "--offline")
    assert result.exit_code == 0
    assert "warn  configuration: prometheus.toml:2: upstreams.u.base_url: the credential goes to" in result.stdout


@pytest.mark.parametrize("ending", ["", "/chat/completions", "/v1"])
def test_what_an_address_refers_to_is_shown_to_nobody(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setenv("TENANT", "tenant-4711")
    with ScriptedUpstream(lambda request: json_answer({}, 404)) as upstream:
        address = f"{upstream.base_url.removesuffix('/v1')}/${{TENANT}}/v1{ending}"
        (folder / "prometheus.toml").write_text(f'[upstreams.u]\nbase_url = "{address}"\n')
        found = run("doctor")
        assert "/${TENANT}/v1" in found.stdout
        checked = run("config", "check")
    assert "tenant-4711" not in found.output + checked.output
