"""Reading a configuration again: a file that is not whole is never taken, however it is written."""

import os
import threading
from pathlib import Path

import pytest

from proxy.config.problems import ConfigProblems
from proxy.process.reload import ConfigSource

HEAD = '[upstreams.up]\nbase_url = "http://127.0.0.1:1/v1"\n'
ALIAS = '[models.{}]\ncapability = "chat"\ntargets = ["up/inner"]\n'
WHOLE = HEAD + "".join(ALIAS.format(name) for name in ("one", "two", "three"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "prometheus.toml"


def started(file: Path, text: str = WHOLE) -> ConfigSource:
    """A source whose file is in force, and was written long ago."""
    file.write_text(text)
    source = ConfigSource(file, {})
    source.applied(source.read().config)
    return source


def refused(source: ConfigSource, text: str) -> str:
    source.path.write_text(text)
    with pytest.raises(ConfigProblems) as fault:
        source.read_for_reload()
    return str(fault.value)


@pytest.mark.parametrize("cut", range(WHOLE.count("\n")))
def test_a_file_that_was_cut_at_the_end_of_a_line_is_not_taken(file: Path, cut: int) -> None:
    source = started(file)
    refused(source, "".join(WHOLE.splitlines(keepends=True)[:cut]))
    # What is whole again is.
    file.write_text(WHOLE + ALIAS.format("four"))
    assert set(source.read_for_reload().config.models) == {"one", "two", "three", "four"}


@pytest.mark.parametrize(
    "text", ["", "\n\n", " ", "# nothing\n", HEAD, HEAD + "# all are gone\n", "[server]\nport = 1\n"]
)
def test_a_file_without_any_alias_is_not_taken_where_there_were_some(file: Path, text: str) -> None:
    assert any(word in refused(started(file), text) for word in ("is empty", "no aliases", "cut off"))


def test_a_gateway_without_aliases_goes_on_without_any(file: Path) -> None:
    source = started(file, HEAD)
    file.write_text(HEAD + "# still none\n")
    assert not source.read_for_reload().config.models


def test_an_alias_that_is_taken_away_is_gone(file: Path) -> None:
    source = started(file)
    file.write_text(HEAD + ALIAS.format("two") + ALIAS.format("three"))
    assert set(source.read_for_reload().config.models) == {"two", "three"}
    file.write_text(HEAD + ALIAS.format("one") + ALIAS.format("two") + "# end\n")
    assert set(source.read_for_reload().config.models) == {"one", "two"}


def test_what_was_not_taken_is_not_what_the_next_one_is_compared_with(file: Path) -> None:
    source = started(file)
    file.write_text(WHOLE + ALIAS.format("four"))
    source.read_for_reload()
    # It had a fault elsewhere, and the old text is put back.
    file.write_text(WHOLE)
    assert set(source.read_for_reload().config.models) == {"one", "two", "three"}


def test_a_file_that_is_written_in_place_all_the_time_is_taken_whole_or_not_at_all(file: Path) -> None:
    source = started(file)
    other = HEAD + "".join(ALIAS.format(name) for name in ("four", "five", "six"))
    stopped = threading.Event()

    def write() -> None:
        pauses = 0
        while not stopped.is_set():
            text = (WHOLE, other)[pauses % 2]
            with file.open("w") as out:
                for line in text.splitlines(keepends=True):
                    out.write(line)
                    out.flush()
                    stopped.wait(0.001)
            pauses += 1
            stopped.wait(0.001 * (pauses % 7))

    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    try:
        for _ in range(5):
            try:
                found = set(source.read_for_reload().config.models)
            except ConfigProblems:
                continue
            assert found in ({"one", "two", "three"}, {"four", "five", "six"})
    finally:
        stopped.set()
        writing.join(10)
    file.write_text(other)
    assert set(source.read_for_reload().config.models) == {"four", "five", "six"}


def test_a_file_that_never_rests_is_a_fault(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = started(file)
    monkeypatch.setattr("proxy.config.load.time.sleep", lambda _: file.write_text(WHOLE + f"# {os.urandom(8).hex()}\n"))
    with pytest.raises(ConfigProblems, match="is being written"):
        source.read_for_reload()


def test_a_file_that_was_written_long_ago_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = started(file)
    monkeypatch.setattr("proxy.config.load.time.time", lambda: 10.0**10)
    monkeypatch.setattr("proxy.config.load.time.sleep", lambda _: pytest.fail("it waits"))
    assert set(source.read_for_reload().config.models) == {"one", "two", "three"}
