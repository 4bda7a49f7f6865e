"""The Makefile: every target is listed by `make help`, and none is mistaken for a file of its name."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "Makefile").read_text("utf-8")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def phony() -> list[str]:
    """The targets that are no files."""
    (declared,) = re.findall(r"^\.PHONY:((?:.*\\\n)*.*)$", TEXT, re.MULTILINE)
    return str(declared).replace("\\\n", " ").split()


def make(*arguments: str) -> str:
    done = subprocess.run(["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_lists_every_target() -> None:
    listed = [line.split()[0] for line in make("help").splitlines()]
    assert sorted(listed) == sorted(phony())


def test_every_target_that_is_no_file_is_declared() -> None:
    targets = {name for line in re.findall(r"^([a-z][a-z -]*):(?!=)", TEXT, re.MULTILINE) for name in line.split()}
    assert targets == set(phony())


def test_documents_are_made_although_a_folder_has_their_name() -> None:
    assert "docs/configuration.md" in make("--dry-run", "docs")


def test_without_a_target_the_gateway_runs() -> None:
    assert make("--dry-run") == make("--dry-run", "run")
