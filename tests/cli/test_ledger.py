"""`ledger export`: every row, exact, and harmless in a spreadsheet."""

import csv
import io
import json
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from proxy.ledger.record import UsageRecord
from tests.cli.conftest import Run, row

Stored = Callable[[Sequence[UsageRecord]], None]


@pytest.mark.parametrize("args", [[], ["--json"], ["--format", "jsonl"]])
def test_rows_are_one_json_object_a_line(args: list[str], run: Run, stored: Stored) -> None:
    stored([row(1), row(2, cost=None)])
    result = run("ledger", "export", *args)
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first["id"] == row(1).id
    assert (first["started"], first["cost"], second["cost"]) == ("2026-09-21T14:13:30.000000Z", "0.000033", None)
    assert result.stderr == "2 rows exported\n"


def test_every_field_of_a_row_is_there(run: Run, stored: Stored) -> None:
    stored([row(1)])
    assert set(json.loads(run("ledger", "export").stdout)) == set(UsageRecord.__struct_fields__)


def test_csv_has_a_heading_and_the_same_cells(run: Run, stored: Stored) -> None:
    stored([row(1, cost=None)])
    (found,) = csv.DictReader(io.StringIO(run("ledger", "export", "--format", "csv").stdout))
    assert (found["alias"], found["cost"], found["stream"]) == ("prometheus-core", "", "True")


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", " =", "\u200b="])
def test_a_cell_is_no_formula(first: str, run: Run, stored: Stored) -> None:
    stored([row(1, alias=f"{first}1+1")])
    (found,) = csv.DictReader(io.StringIO(run("ledger", "export", "--format", "csv").stdout))
    assert found["alias"] == f"'{first}1+1"


def test_a_span_of_time(run: Run, stored: Stored) -> None:
    stored([row(1), row(2), row(3)])
    args = ("--since", "2026-09-21T14:13:40", "--until", "2026-09-21T14:13:50")
    assert [json.loads(line)["id"] for line in run("ledger", "export", *args).stdout.splitlines()] == [row(2).id]


def test_a_file_is_for_its_owner_alone(run: Run, stored: Stored, folder: Path) -> None:
    stored([row(1)])
    result = run("ledger", "export", "--output", "out.jsonl")
    assert (result.exit_code, result.stdout) == (0, "")
    file = folder / "out.jsonl"
    assert json.loads(file.read_text())["id"] == row(1).id
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_failed_export_leaves_the_old_file_and_no_other(run: Run, folder: Path) -> None:
    (folder / "out.jsonl").write_text("old")
    assert run("ledger", "export", "--output", "out.jsonl").exit_code == 1
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("out.jsonl", "old")]


def test_a_place_that_cannot_be_written_is_an_error(run: Run, stored: Stored) -> None:
    stored([row(1)])
    result = run("ledger", "export", "--output", "no/such/out.jsonl")
    assert result.exit_code == 1
    assert "no/such/out.jsonl cannot be written" in result.stderr


@pytest.mark.parametrize(
    "args", [["--json", "--format", "csv"], ["--since", "1h", "--until", "2h"], ["--format", "xml"]]
)
def test_wrong_use(args: list[str], run: Run) -> None:
    assert run("ledger", "export", *args).exit_code == 2
