"""The dashboard's queries: the time of each block with a warm cache, by the clock and as the process's own time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.pages.ledger import DAYS, END, KEYS, key_id, tags_of
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
_KEY: Final = Selection(keys=(key_id(7),))
_ALIAS: Final = Selection(aliases=("alias-3",))
_TEAM: Final = Selection(teams=("team_3",))
_TAGS: Final = {key_id(number): tags_of(number) for number in range(KEYS)}


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
        ("a rare key", Selection(keys=(key_id(KEYS - 1),))),
        ("errors", Selection(statuses=("5xx",))),
        ("a session", Selection(sessions=("session-11",))),
        ("what there is none of", Selection(aliases=("alias-none",))),
    ):
        found[f"requests, {name}"] = partial(_requests, only)
    found["one request"] = lambda boards: boards.request("req_" + "0" * 27 + "00abc", Selection())
    found["live tail"] = lambda boards: boards.newest(Selection(), 1)
    return found


def run(data_dir: Path, only: str = "") -> bool:
    """Print the times of the blocks whose names contain `only`; whether each took no longer than it may."""
    times = asyncio.run(_measure(data_dir, only))
    slow = [name for name, _, own in times if own > MAX_MILLISECONDS]
    print(f"{len(times) - len(slow)} of {len(times)} blocks within {MAX_MILLISECONDS} ms of the process's own time")
    for name in slow:
        print(f"  slower: {name}")
    return not slow


async def _measure(data_dir: Path, only: str) -> list[tuple[str, float, float]]:
    boards = Boards(data_dir / "ledger.db", seconds=60)
    found = []
    try:
        for name, block in _blocks().items():
            if only not in name:
                continue
            first = time.process_time()
            await block(boards)
            first, times = 1_000 * (time.process_time() - first), []
            for _ in range(_RUNS):
                clock, own = time.perf_counter(), time.process_time()
                await block(boards)
                times.append((1_000 * (time.perf_counter() - clock), 1_000 * (time.process_time() - own)))
            best = min(clock for clock, _ in times), min(own for _, own in times)
            found.append((name, *best))
            print(f"{name:44} {best[0]:8.1f} ms {best[1]:8.1f} ms own {first:8.1f} ms own at first", flush=True)
    finally:
        await boards.close()
    return found
