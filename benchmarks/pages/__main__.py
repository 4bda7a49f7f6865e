"""Measures the dashboard over ten million rows and 2,000 keys: `make bench-pages`.

    python -m benchmarks.pages [--part blocks http …] [--rows N]

The ledger is made once for each number of rows, which takes minutes, and is kept in `benchmarks/.cache/`.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from benchmarks.pages import blocks, ledger, over_http, streams
from benchmarks.processes import BenchmarkFailed

#: The parts; `--only` is for the first two.
PARTS: Final[Mapping[str, Callable[[Path, str], bool]]] = {
    "blocks": blocks.run,
    "http": over_http.run,
    "streams": lambda data_dir, _: streams.run(data_dir),
}


def main() -> int:
    """Print the figures; the exit status is 1 where one is beyond its bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="only these")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--only", default="", help="only blocks and paths that contain this")
    parser.add_argument("--ledger", type=Path, help="a data directory that is there; rows are added to it")
    options = parser.parse_args()
    data_dir = options.ledger or ledger.kept(options.rows)
    ledger.make_keys(data_dir)
    kept = True
    try:
        for part in options.part:
            print(f"{part}\n")
            kept &= PARTS[part](data_dir, options.only)
            print()
    except BenchmarkFailed as error:
        sys.exit(f"benchmarks: {error}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
