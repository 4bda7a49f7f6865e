"""Many power cuts with their figures: `make power`, or python -m tests.power [--trials N] [--seed N]."""

import argparse
import logging
import sys
import time

from tests.power.trial import Found, trials


def main() -> int:
    """Run the trials; 1 when one of them found anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first trial; the next ones count on")
    chosen = parser.parse_args()
    # Each start says what it found interrupted, and each failed sync is logged.
    logging.disable(logging.ERROR)
    began = time.monotonic()
    found: list[Found] = []
    for seed, one in trials(range(chosen.seed, chosen.seed + chosen.trials)):
        found.append(one)
        if not one.good:
            print(f"seed {seed}: {one}")
    print(
        f"{len(found)} power cuts in {time.monotonic() - began:.0f} s: {sum(one.rows for one in found)} rows found, "
        f"{sum(one.acknowledged for one in found)} acknowledged; lost: {sum(one.lost for one in found)}, "
        f"wrong: {sum(one.wrong for one in found)}, counted twice or not at all: "
        f"{sum(one.miscounted for one in found)}, damaged databases: {sum(one.damaged for one in found)}"
    )
    return 0 if all(one.good for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
