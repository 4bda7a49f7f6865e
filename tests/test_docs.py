"""What the documents name is there: links, files, tests and make targets."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "tests/*.md", "benchmarks/**/*.md", "proxy/**/*.md", "deploy/*.md")
    for path in ROOT.glob(pattern)
)
#: What was is named by its name of then.
HISTORY = ROOT / "CHANGELOG.md"
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)\s]*)?\)")
_FILE = re.compile(r"`([\w./-]+\.(?:py|sql|mjs))`")
_MAKE = re.compile(r"(?:`|\$ )make ((?:[a-z][a-z-]*[ ,`]?(?![A-Z=]))+)")
_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def targets() -> frozenset[str]:
    text = (ROOT / "Makefile").read_text("utf-8")
    return frozenset(
        name for line in re.findall(r"^([a-z][a-z -]*):(?!=)", text, re.MULTILINE) for name in line.split()
    )


def missing_links(page: Path) -> Iterator[str]:
    for link in _LINK.findall(page.read_text("utf-8")):
        if not (page.parent / link).exists():
            yield f"{page.name}: there is no {link}"


def missing_files(page: Path) -> Iterator[str]:
    """Files in backticks that are neither there nor below `proxy`, `tests` or the page's folder."""
    text = page.read_text("utf-8")
    names = tracked()
    for name in _FILE.findall(_BLOCK.sub("", text)):
        # `NAME.py` is a file that is to be made.
        if "NAME" not in name and not any(one == name or one.endswith("/" + name) for one in names):
            yield f"{page.name}: there is no {name}"


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    files = [] if page == HISTORY or not tracked() else list(missing_files(page))
    faults = [*missing_links(page), *files]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_targets_that_a_page_names_are_there(page: Path) -> None:
    named = {name for match in _MAKE.findall(page.read_text("utf-8")) for name in re.findall(r"[a-z-]+", match)}
    assert named <= targets()


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages <= set(_LINK.findall(index))
