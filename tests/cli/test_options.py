"""Which configuration and which data directory a command uses."""

from pathlib import Path

import pytest

from proxy.cli.options import DEFAULT_FILE, Place, chosen_file, configured, resolved
from proxy.config.tree import Config
from proxy.errors import ConfigFault


def test_without_any_file_there_are_the_defaults(folder: Path) -> None:
    assert configured(None) == Config()


def test_the_file_in_the_working_directory_is_used(folder: Path) -> None:
    DEFAULT_FILE.write_text('[server]\ndata_dir = "here"\n')
    assert Place().directory() == Path("here")


def test_the_file_that_is_named_wins(folder: Path) -> None:
    DEFAULT_FILE.write_text("[server]\n")
    assert chosen_file(Path("other.toml")) == Path("other.toml")


def test_the_data_directory_that_is_named_wins_and_needs_no_configuration(folder: Path) -> None:
    DEFAULT_FILE.write_text("broken")
    assert Place(None, Path("mine")).directory() == Path("mine")


def test_only_resolving_needs_the_credentials(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    DEFAULT_FILE.write_text('[upstreams.u]\nbase_url = "http://h"\napi_key = "${NO_SUCH_KEY}"\n')
    assert "u" in configured(None).upstreams
    with pytest.raises(ConfigFault, match="NO_SUCH_KEY is not set"):
        resolved(None)
