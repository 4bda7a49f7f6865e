"""Whether the commit that is checked out can be released: `python -m tests.release`, which is `make release`.

The version is the newest in the changelog, nothing is left under Unreleased, the generated documents are current, all
is committed, and the version has no tag yet. Changes nothing but the generated documents.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from proxy import __version__

ROOT = Path(__file__).parent.parent
DOCS = ("make", "--silent", "docs")
_SECTION = re.compile(r"^## (?P<title>.*)$", re.MULTILINE)
_DATED = re.compile(r"(?P<version>\d+\.\d+\.\d+) - (?P<date>\d{4}-\d{2}-\d{2})")


def changelog_faults(text: str, version: str, today: date) -> Iterator[str]:
    """What in the changelog does not fit a release of that version."""
    parts = _SECTION.split(text)[1:]
    sections = list(zip(parts[::2], parts[1::2], strict=True))
    if not sections or sections[0][0] != "Unreleased":
        yield "CHANGELOG.md: its first section is not `## Unreleased`"
        return
    if any(line.strip() and not line.startswith("#") for line in sections[0][1].splitlines()):
        yield f"CHANGELOG.md: there are entries under Unreleased: move them to {version}, or to a new version"
    newest = _DATED.fullmatch(sections[1][0]) if len(sections) > 1 else None
    if newest is None:
        yield f"CHANGELOG.md: its newest section is not `## {version} - {today}`"
        return
    if newest["version"] != version:
        yield f"CHANGELOG.md: its newest version is {newest['version']}, and that of the package {version}"
    try:
        released = date.fromisoformat(newest["date"])
    except ValueError:
        yield f"CHANGELOG.md: {newest['date']} is no date"
    else:
        if released > today:
            yield f"CHANGELOG.md: {released} is still to come"


def tree_faults(root: Path, version: str, docs: Sequence[str] = DOCS) -> Iterator[str]:
    """What in the working tree does not fit: changes, documents that are not current, a tag of the version."""
    changed = _git(root, "status", "--porcelain")
    if changed:
        yield f"not committed: {', '.join(line[3:] for line in changed)}"
    else:
        subprocess.run(docs, cwd=root, check=True)
        stale = _git(root, "status", "--porcelain")
        if stale:
            yield f"`make docs` changes what is committed: {', '.join(line[3:] for line in stale)}"
    if _git(root, "tag", "--list", f"v{version}"):
        yield f"the tag v{version} is there: raise the version in proxy/__init__.py"


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def main() -> int:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    faults = [*changelog_faults(text, __version__, date.today()), *tree_faults(ROOT, __version__)]
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"{__version__} can be released: make test test-compiled, then git tag -a v{__version__}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
