"""What `make release` finds, and that the changelog in the tree is one that it takes."""

import subprocess
from datetime import date
from pathlib import Path

import pytest

from proxy import __version__
from tests.release import ROOT, changelog_faults, tree_faults

TODAY = date(2026, 12, 24)
NOTHING = ("true",)
CHANGES = "# Changelog\n\n## Unreleased\n\n### Added\n\n## 1.2.3 - 2026-12-24\n\n### Added\n\n- All.\n"


def test_the_newest_version_of_the_changelog_is_the_packages() -> None:
    newest = (ROOT / "CHANGELOG.md").read_text("utf-8").split("\n## ")[2].splitlines()[0]
    assert newest.split(" - ")[0] == __version__
    assert date.fromisoformat(newest.split(" - ")[1])


def test_a_changelog_that_fits() -> None:
    assert list(changelog_faults(CHANGES, "1.2.3", TODAY)) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "its first section is not `## Unreleased`"),
        (CHANGES.replace("Unreleased", "To come"), "its first section is not `## Unreleased`"),
        (CHANGES.replace("### Added\n\n## 1", "- A flag.\n\n## 1"), "there are entries under Unreleased"),
        (CHANGES[: CHANGES.index("## 1.2.3")], "its newest section is not `## 1.2.3 - 2026-12-24`"),
        (CHANGES.replace(" - 2026-12-24", ""), "its newest section is not `## 1.2.3 - 2026-12-24`"),
        (CHANGES.replace("1.2.3", "1.2.2"), "its newest version is 1.2.2, and that of the package 1.2.3"),
        (CHANGES.replace("12-24", "12-32"), "2026-12-32 is no date"),
        (CHANGES.replace("12-24", "12-25"), "2026-12-25 is still to come"),
    ],
)
def test_a_changelog_that_does_not(text: str, fault: str) -> None:
    (found,) = changelog_faults(text, "1.2.3", TODAY)
    assert fault in found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A working tree with one commit."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "page.md").write_text("one\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "page: write it")
    return tmp_path


def git(tree: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=tree, check=True)


def test_a_tree_that_fits(tree: Path) -> None:
    git(tree, "tag", "v1.2.2")
    assert list(tree_faults(tree, "1.2.3", NOTHING)) == []


def test_a_tree_with_changes(tree: Path) -> None:
    (tree / "new.md").write_text("two\n")
    assert list(tree_faults(tree, "1.2.3", NOTHING)) == ["not committed: new.md"]


def test_a_generated_page_that_is_not_current(tree: Path) -> None:
    faults = list(tree_faults(tree, "1.2.3", ("sh", "-c", "echo two > page.md")))
    assert faults == ["`make docs` changes what is committed: page.md"]


def test_a_version_that_has_its_tag(tree: Path) -> None:
    git(tree, "tag", "v1.2.3")
    assert list(tree_faults(tree, "1.2.3", NOTHING)) == [
        "the tag v1.2.3 is there: raise the version in proxy/__init__.py"
    ]
