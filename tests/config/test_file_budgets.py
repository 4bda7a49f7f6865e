"""What the configuration file names: by kind and name, with the line."""

from pathlib import Path

from proxy.config.file_budgets import owner_in, owner_in_file
from proxy.config.load import load

TEXT = """
[budgets.web]
limit = "5"
teams = ["web", "net"]

[budgets."for keys"]
limit = "5"
keys = ["web"]
"""


def test_it_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(TEXT)
    owner = owner_in_file(path)
    assert owner("team", "web") == owner("team", "net") == f"{path}:2: budgets.web"
    assert owner("key", "web") == f'{path}:6: budgets."for keys"'
    assert (owner("org", "web"), owner("key", "net")) == (None, None)


def test_without_lines_it_names_the_budget(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(TEXT)
    assert owner_in(load(path, None))("team", "net") == "budgets.web"


def test_without_a_file_nothing_is_owned() -> None:
    assert owner_in_file(None)("team", "web") is None
