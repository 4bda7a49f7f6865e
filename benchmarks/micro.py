"""What one request costs the gateway's own code: the real protocol, endpoint and relay on fake transports.

    python -m benchmarks.micro [--profile CASE] [--chat-only] [--policies limits,budgets,routing]

Nothing of the kernel is in these figures, so they are steadier than those of the scenarios and show a change of a few
microseconds. They say nothing about other systems.
"""

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import uvloop

from benchmarks.rig import AllLimits, Rig, reads_of, request, running_rig
from proxy.config.tree import Budget, Limits, Routing
from proxy.endpoints import router

CASES = {
    "json": ("bench-json", False, True),
    "stream of 3, each its own read": ("bench-first", True, False),
    "burst of 20, one read": ("bench-burst-20", True, True),
    "stream of 20, each its own read": ("bench-each-20", True, False),
}


#: What `--policies` turns on: none of it refuses.
LIMITS: AllLimits = {
    "default": Limits(requests="1000000/s, 10000000/min", tokens="1000000000/min", concurrent=1_000),
    "global": Limits(requests="100000000/min"),
}
BUDGETS = {"all": Budget(limit=Decimal(1_000_000), window="day")}
ROUTING = Routing(strategy="fastest")


async def measure(rounds: int, profile: str, policies: str) -> None:
    """Print microseconds per request for each case: the tenth percentile, which other work disturbs least.

    With policies also what they add to those of a gateway without, which serves every other request.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as bare_folder:
        models = [case[0] for case in CASES.values()]
        routing = ROUTING if "routing" in policies else None
        limits = LIMITS if "limits" in policies else None
        budgets = BUDGETS if "budgets" in policies else None
        async with (
            running_rig(Path(folder), models, routing, limits, budgets) as rig,
            running_rig(Path(bare_folder), models) as bare,
        ):
            for name, (model, stream, whole) in CASES.items():
                if profile and profile not in name:
                    continue
                sent, reads = request(model, stream), reads_of(model, stream, whole)
                profiler = cProfile.Profile() if profile else None
                times: list[tuple[float, float]] = []
                bare_times: list[tuple[float, float]] = []
                for _ in range(rounds):
                    await asyncio.sleep(0.3)
                    if profiler:
                        profiler.enable()
                    for _ in range(500):
                        times.append(await timed(rig, sent, reads))
                        if policies and not profiler:
                            bare_times.append(await timed(bare, sent, reads))
                    if profiler:
                        profiler.disable()
                up, down = tenth_percentiles(times)
                line = f"{name:34} up {up:6.1f}  down {down:6.1f}  both {up + down:6.1f} µs"
                if bare_times:
                    bare_up, bare_down = tenth_percentiles(bare_times)
                    line += f", added {up - bare_up:+5.1f} {down - bare_down:+5.1f}"
                print(line)
                if profiler:
                    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def tenth_percentiles(times: list[tuple[float, float]]) -> tuple[float, float]:
    """Of the ways up and the ways down, in microseconds."""
    up, down = (sorted(half)[len(half) // 10] * 1e6 for half in zip(*times, strict=True))
    return up, down


async def timed(rig: Rig, sent: bytes, reads: tuple[bytes, ...]) -> tuple[float, float]:
    """One exchange; the seconds that its way up and its way down took."""
    begin = time.perf_counter()
    rig.send_request(sent)
    between = time.perf_counter()
    rig.send_response(reads)
    end = time.perf_counter()
    await asyncio.sleep(0)
    return between - begin, end - between


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="rounds of 500 requests each")
    parser.add_argument("--profile", default="", metavar="CASE", help="profile the cases whose name holds this")
    parser.add_argument("--chat-only", action="store_true", help="with a table of one row, to see what the others cost")
    parser.add_argument("--policies", default="", help="of limits, budgets and routing, those to turn on")
    options = parser.parse_args()
    rows, objects = (router.ROWS[:1], ()) if options.chat_only else (router.ROWS, router.RESOURCE_ROWS)
    with patch.multiple(router, ROWS=rows, RESOURCE_ROWS=objects):
        uvloop.run(measure(options.rounds, options.profile, options.policies))


if __name__ == "__main__":
    main()
