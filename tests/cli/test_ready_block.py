"""The ready block of `serve`: what it prints once it serves, and that the printed call works."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli.test_serve import ALIASES, MODEL, make_key, rows, running
from tests.fakes import RawClient


def test_the_demo_s_ready_block_ends_with_the_address(tmp_path: Path) -> None:
    with running(tmp_path, "--port", "0") as serve:
        assert serve.lines[-1] == f"Ready: http://127.0.0.1:{serve.port}"
        assert serve.lines[1].startswith(f"Aliases: {', '.join(ALIASES)}")
        assert serve.lines[2].split()[1].startswith("prom_sk_")
        with RawClient("127.0.0.1", serve.port) as client:
            client.request("GET", "/livez")
            assert client.read_answer()[0].status == 200
        assert serve.stop()[0] == 0


def test_the_demo_s_ready_block_has_a_link_to_the_dashboard(tmp_path: Path) -> None:
    with running(tmp_path, "--port", "0") as serve:
        (line,) = [line for line in serve.lines if line.startswith("Dashboard: ")]
        link = line.split()[1]
        with RawClient("127.0.0.1", serve.port) as client:
            client.request("POST", urlsplit(link).path, body=b"")
            answer, _ = client.read_answer()
        assert (answer.status, answer.header("location")) == (303, "/dashboard")


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("bash"), reason="needs curl and bash")
def test_the_printed_curl_works_as_pasted(tmp_path: Path) -> None:
    with running(tmp_path, "--port", "0") as serve:
        first = next(number for number, line in enumerate(serve.lines) if line.startswith("curl"))
        last = serve.lines.index("", first)
        pasted = "\n".join(serve.lines[first:last])
        done = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0
        events = done.stdout.split("\n\n")
        assert events[-2] == "data: [DONE]"
        assert json.loads(events[0].removeprefix("data: "))["model"] == "prometheus-core"
        assert serve.stop()[0] == 0
    (row,) = rows(tmp_path / "data")
    assert (row.alias, row.outcome, row.usage_source) == ("prometheus-core", "complete", "reported")
    assert row.cost


def test_as_json_the_ready_line_is_one_object(tmp_path: Path) -> None:
    with running(tmp_path, "--port", "0", "--json") as serve:
        (line,) = serve.lines
        ready = json.loads(line)
        assert ready["event"] == "ready"
        assert ready["aliases"][: len(ALIASES)] == ALIASES
        assert ready["key"].startswith("prom_sk_")
        with RawClient("127.0.0.1", urlsplit(ready["url"]).port or 0) as client:
            client.request("GET", "/v1/models", headers={"authorization": f"Bearer {ready['key']}"})
            listed = json.loads(client.read_answer()[1].payload)["data"]
            assert [model["id"] for model in listed] == ready["aliases"]
        assert serve.stop()[0] == 0


def test_the_demo_says_what_stays(tmp_path: Path) -> None:
    with running(tmp_path, "--port", "0") as serve:
        said = "\n".join(serve.lines)
    assert "demo-key" in said
    assert "keys that you create" in said
    assert "prometheus-gateway keys create NAME" in said


def test_without_keys_it_says_how_to_make_one_and_a_call(tmp_path: Path) -> None:
    (tmp_path / "my gateway.toml").write_text(MODEL.format("core", "chat"))
    with running(tmp_path, "--config", "my gateway.toml", "--port", "0", "--data-dir", "d") as serve:
        assert serve.lines[0] == (
            "There are no keys yet: prometheus-gateway keys create NAME --config 'my gateway.toml' --data-dir d"
        )
        said = "\n".join(serve.lines)
        assert f"curl -N {serve.url}/v1/chat/completions" in said
        assert '"model": "core"' in said
        assert serve.lines[-1].startswith("Ready: ")


def test_as_json_it_says_so_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "prometheus.toml").write_text(MODEL.format("core", "chat"))
    with running(tmp_path, "--port", "0", "--json") as serve:
        assert json.loads(serve.lines[0])["event"] == "ready"
        assert "there are no keys yet: prometheus-gateway keys create NAME" in serve.stop()[2]


@pytest.mark.parametrize(("capability", "format"), [("embeddings", "openai"), ("chat", "gemini")])
def test_without_an_alias_for_it_there_is_no_call_to_show(capability: str, format: str, tmp_path: Path) -> None:
    text = MODEL.format("atlas", capability).replace("warm", f'formats = ["{format}"]\nwarm')
    (tmp_path / "prometheus.toml").write_text(text)
    with running(tmp_path, "--port", "0") as serve:
        assert serve.lines[0].startswith("There are no keys yet")
        assert "curl" not in "\n".join(serve.lines)


def test_with_a_key_it_is_ready_and_says_no_more(tmp_path: Path) -> None:
    (tmp_path / "prometheus.toml").write_text(MODEL.format("core", "chat"))
    make_key(tmp_path)
    with running(tmp_path, "--port", "0") as serve:
        assert len(serve.lines) == 1


def test_keys_that_are_over_are_no_keys(tmp_path: Path) -> None:
    (tmp_path / "prometheus.toml").write_text(MODEL.format("core", "chat"))
    make_key(tmp_path)
    command = [sys.executable, "-m", "proxy", "keys", "revoke", "me"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    with running(tmp_path, "--port", "0") as serve:
        assert serve.lines[0].startswith("There are no keys yet")


def test_workers_say_so_too(tmp_path: Path) -> None:
    (tmp_path / "prometheus.toml").write_text(MODEL.format("core", "chat"))
    with running(tmp_path, "--port", "0", "--workers", "2") as serve:
        assert serve.lines[0].startswith("There are no keys yet")
        assert serve.stop()[0] == 0


def test_who_listens_on_all_addresses_is_called_on_its_own(tmp_path: Path) -> None:
    with running(tmp_path, "--host", "0.0.0.0", "--port", "0") as serve:
        assert serve.lines[-1] == f"Ready: http://0.0.0.0:{serve.port}"
        assert f"curl -N http://127.0.0.1:{serve.port}/v1/chat/completions \\" in serve.lines
