"""`python -m tests.fuzz`: fuzzes a gateway of its own and exits with 1 where it found something."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.run import run


def main() -> int:
    """Run as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60; by hand 1200)")
    parser.add_argument("--seed", type=int, default=None, help="the same cases again; else by the clock")
    parser.add_argument("--clients", type=int, default=12, help="clients at once (12)")
    parser.add_argument("--case", default=None, metavar="CLIENT:CASE", help="only this one, as a failure names it")
    chosen = parser.parse_args()
    seed = chosen.seed if chosen.seed is not None else int(time.time())
    only = tuple(int(part) for part in chosen.case.split(":")) if chosen.case else None
    with tempfile.TemporaryDirectory() as folder:
        findings = run(
            Path(folder),
            seconds=chosen.seconds,
            seed=seed,
            clients=chosen.clients,
            only=(only[0], only[1]) if only else None,
        )
    print(f"seed {seed}: {findings.cases} requests, statuses {dict(sorted(findings.statuses.items()))}")
    for failure in findings.failures[:50]:
        print(failure)
    print(f"{len(findings.failures)} failures")
    return 1 if findings.failures else 0


if __name__ == "__main__":
    sys.exit(main())
