"""Measures the dashboard's queries over ten million rows and 2,000 keys: `make bench-pages`.

    python -m benchmarks.pages [--rows N]

It prints the time of each block, with a warm cache: as the clock has it, and as the process's own time. The ledger is
made once for each number of rows, which takes minutes, and is kept in `benchmarks/.cache/`.
"""

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import ledger_rows
from benchmarks.ledger_rows import DAYS, END, KEYS
from benchmarks.store import CACHE
from proxy.ledger.board_values import Board, By
from proxy.ledger.boards import Boards
from proxy.ledger.periods import DAY
from proxy.ledger.selection import Selection

#: What a block may take, in milliseconds.
MAX_MILLISECONDS: Final = 100
_RUNS: Final = 5
_LINES: Final[tuple[By, ...]] = ("alias", "key", "tag", "target", "team", "upstream", "endpoint")
Block = Callable[[Boards], Awaitable[object]]

_EVERYTHING: Final = Selection()
_KEY: Final = Selection(keys=("key_000000000007",))
_ALIAS: Final = Selection(aliases=("alias-3",))
_TEAM: Final = Selection(teams=("team_3",))
_TAGS: Final = {f"key_{number:012d}": (f"tag-{number % 12}", f"group-{number % 7}") for number in range(KEYS)}


def _board(only: Selection = _EVERYTHING, *, days: int = DAYS, zone: str = "UTC") -> Board:
    return Board(
        since=END - days * DAY, until=END, step="hour" if days < 3 else "day", zone=zone, only=only, tags=_TAGS
    )


def _totals(board: Board, boards: Boards) -> Awaitable[object]:
    return boards.totals(board)


def _series(board: Board, by: By, boards: Boards) -> Awaitable[object]:
    return boards.series(board, by)


def _groups(board: Board, by: By, boards: Boards) -> Awaitable[object]:
    return boards.groups(board, by)


def _requests(only: Selection, boards: Boards) -> Awaitable[object]:
    return boards.requests(only, since=END - DAYS * DAY, until=END)


def _blocks() -> dict[str, Block]:
    """The blocks, by their names."""
    found: dict[str, Block] = {}
    for name, board in (
        ("30 days", _board()),
        ("30 days of Berlin", _board(zone="Europe/Berlin")),
        ("24 hours", _board(days=1)),
        ("one key", _board(_KEY, zone="Europe/Berlin")),
        ("one alias", _board(_ALIAS)),
        ("one team", _board(_TEAM)),
    ):
        found[f"totals, {name}"] = partial(_totals, board)
        for by in _LINES:
            found[f"chart by {by}, {name}"] = partial(_series, board, by)
        for by in _LINES[:4]:
            found[f"table by {by}, {name}"] = partial(_groups, board, by)
    for name, only in (
        ("all", Selection()),
        ("one key", _KEY),
        ("one alias", _ALIAS),
        ("one team", _TEAM),
        ("a rare key", Selection(keys=("key_000000001999",))),
        ("errors", Selection(statuses=("5xx",))),
        ("a session", Selection(sessions=("session-11",))),
        ("what there is none of", Selection(aliases=("alias-none",))),
    ):
        found[f"requests, {name}"] = partial(_requests, only)
    found["one request"] = lambda boards: boards.request("req_" + "0" * 27 + "00abc", Selection())
    found["live tail"] = lambda boards: boards.newest(Selection(), 1)
    return found


async def _measure(data_dir: Path, only: str) -> list[tuple[str, float, float]]:
    boards = Boards(data_dir / "ledger.db", seconds=60)
    found = []
    try:
        for name, block in _blocks().items():
            if only not in name:
                continue
            await block(boards)
            times = []
            for _ in range(_RUNS):
                clock, own = time.perf_counter(), time.process_time()
                await block(boards)
                times.append((1_000 * (time.perf_counter() - clock), 1_000 * (time.process_time() - own)))
            best = min(clock for clock, _ in times), min(own for _, own in times)
            found.append((name, *best))
            print(f"{name:44} {best[0]:8.1f} ms {best[1]:8.1f} ms own", flush=True)
    finally:
        await boards.close()
    return found


def _ledger(rows: int) -> Path:
    folder = CACHE / f"pages-{rows}-rows"
    if not folder.exists():
        draft = CACHE / f"{folder.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        begin = time.monotonic()
        print(f"making a ledger with {rows:,} rows and {KEYS:,} keys, once", file=sys.stderr)
        ledger_rows.make(draft, rows)
        draft.rename(folder)
        print(f"that took {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return folder


def main() -> int:
    """Print the times; the exit status is 1 where a block took longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--only", default="", help="only blocks whose name contains this")
    parser.add_argument("--ledger", type=Path, help="a data directory that is there")
    options = parser.parse_args()
    times = asyncio.run(_measure(options.ledger or _ledger(options.rows), options.only))
    slow = [name for name, _, own in times if own > MAX_MILLISECONDS]
    print(f"{len(times) - len(slow)} of {len(times)} blocks within {MAX_MILLISECONDS} ms of the process's own time")
    for name in slow:
        print(f"  slower: {name}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
