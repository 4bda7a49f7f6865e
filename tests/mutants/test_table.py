"""Every mutant still applies: a safety that was moved takes its row along, and one that is gone is missed here."""

from pathlib import Path

import pytest

from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
EACH = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@EACH
def test_what_a_mutant_takes_out_stands_in_its_file_once(mutant: Mutant) -> None:
    count = (ROOT / mutant.file).read_text().count(mutant.old)
    assert count == 1, f"move the row `{mutant.name}` of tests/mutants/table.py along with what it takes out"


@EACH
def test_a_mutant_is_python(mutant: Mutant) -> None:
    compile((ROOT / mutant.file).read_text().replace(mutant.old, mutant.new), mutant.file, "exec")


@EACH
def test_the_tests_that_must_catch_a_mutant_are_there(mutant: Mutant) -> None:
    assert mutant.tests
    for path in mutant.tests:
        file, _, name = path.partition("::")
        assert (ROOT / file).exists()
        assert not name or f"def {name}(" in (ROOT / file).read_text()


def test_there_are_many_mutants_and_no_two_of_one_name() -> None:
    assert len(MUTANTS) >= 60
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
