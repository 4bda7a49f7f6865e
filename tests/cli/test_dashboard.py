"""`dashboard`: a link that signs an admin in."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_it_prints_a_link_alone(folder: Path, run: Run) -> None:
    made = run("dashboard")
    assert made.stdout.startswith("http://127.0.0.1:8080/dashboard/sign-in/")
    assert made.stdout.count("\n") == 1
    assert "once, within ten minutes" in made.stderr


def test_json_says_how_long_it_works(folder: Path, run: Run) -> None:
    made = json.loads(run("dashboard", "--json", "--url", "https://ai.example.com/").stdout)
    assert made["url"].startswith("https://ai.example.com/dashboard/sign-in/")
    assert made["expires_in"] == 600


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ('[server]\npublic_url = "https://ai.example.com"\n', "https://ai.example.com"),
        ('[server]\nhost = "::"\nport = 8090\n', "http://[::1]:8090"),
        ('[admin]\nlisten = "127.0.0.1:9000"\n', "http://127.0.0.1:9000"),
    ],
)
def test_the_address_is_where_an_admin_reaches_it(folder: Path, run: Run, settings: str, base: str) -> None:
    (folder / "prometheus.toml").write_text(settings)
    assert run("dashboard").stdout.startswith(f"{base}/dashboard/sign-in/")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("[server]\nport = 0\n", "name it with --url"),
        ('[admin]\nlisten = "unix:/run/admin.sock"\n', "Forward a port to it"),
        ("[admin]\nenabled = false\n", "admin.enabled is false"),
        ("[pages]\ndashboard = false\n", "pages.dashboard is false"),
    ],
)
def test_it_says_why_there_is_none(folder: Path, run: Run, settings: str, words: str) -> None:
    (folder / "prometheus.toml").write_text(settings)
    refused = run("dashboard")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert words in refused.stderr
