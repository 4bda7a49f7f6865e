"""`make mutants`: takes each safety out of a copy of the tree and demands that its tests fail. Prints the table.

With names as arguments only these mutants are tried. The tree itself is never changed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
#: A mutant on which the tests hang is caught too.
LIMIT = 120.0
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", "node_modules", "*.egg-info", ".*_cache", "data")
_NO_TESTS_RUN = 5


def run_tests(tree: Path, tests: Sequence[str], limit: float = LIMIT) -> tuple[bool, str]:
    """Whether the tests pass in a copy of the tree, and what they said last. Raises AssertionError without tests."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"hung for {limit:.0f} s"
    assert done.returncode != _NO_TESTS_RUN, f"no tests in {' '.join(tests)}"
    lines = (done.stdout + done.stderr).strip().splitlines() or [""]
    failed = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED tests", "ERROR tests"))]
    return done.returncode == 0, (failed or lines[-1:])[0]


def tried(tree: Path, mutant: Mutant) -> tuple[bool, str]:
    """Whether a mutant is caught, and by what."""
    path = tree / mutant.file
    source = path.read_text()
    assert source.count(mutant.old) == 1, f"{mutant.name}: {mutant.old!r} stands {source.count(mutant.old)} times"
    path.write_text(source.replace(mutant.old, mutant.new))
    try:
        compile(path.read_text(), str(path), "exec")
        passed, said = run_tests(tree, mutant.tests)
    finally:
        path.write_text(source)
    return not passed, said


def main(names: Sequence[str]) -> int:
    """Try the mutants; 1 when one lives."""
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    if not chosen:
        print(f"no mutant is called {' or '.join(names)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=_LEFT_OUT)
        tests = sorted({path for mutant in chosen for path in mutant.tests})
        # Twice at the most: what a busy machine did to one run says nothing of the tests.
        if not any((outcome := run_tests(tree, tests, limit=len(tests) * LIMIT))[0] for _ in range(2)):
            _, said = outcome
            print(f"the tests fail without a mutant: {said}", file=sys.stderr)
            return 2
        lived = []
        for mutant in chosen:
            begun = time.monotonic()
            caught, said = tried(tree, mutant)
            if not caught:
                lived.append(mutant.name)
            took = f"{time.monotonic() - begun:5.1f} s"
            print(f"{'caught' if caught else 'LIVES '}  {took}  {mutant.file}: {mutant.name}  [{said}]", flush=True)
    print(f"{len(chosen) - len(lived)} of {len(chosen)} mutants caught")
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
