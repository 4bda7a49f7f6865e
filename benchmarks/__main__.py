"""The command: `python -m benchmarks`. Runs scenarios against systems, prints tables, and writes files.

It holds no method of its own: see `session`.
"""

import argparse
import sys

from benchmarks.processes import BenchmarkFailed
from benchmarks.scenarios import SCENARIOS
from benchmarks.session import Session, add_options, options_from


def main() -> None:
    known = "\n".join(f"  {scenario.name:<14} {scenario.about}" for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what the gateway adds, beside other proxies and beside none.",
        epilog=f"scenarios:\n{known}\n\nHow to read the tables: benchmarks/README.md.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    options = options_from(parser)
    try:
        Session(options).run(options.scenarios)
    except BenchmarkFailed as error:
        sys.exit(f"benchmarks: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
