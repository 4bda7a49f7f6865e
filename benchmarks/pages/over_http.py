"""The dashboard over HTTP, from a gateway that runs: the times of each page, twin and file, and the bytes transferred.

Each is asked for by an admin and by the owner of one key; when nothing else is done, and while streams run. The
process's own time is that of the whole gateway, so it is only taken when nothing else is done.
"""

import asyncio
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.pages.blocks import MAX_MILLISECONDS
from benchmarks.pages.browser import Browser, Page
from benchmarks.pages.gateway import OWNER, RunningGateway, running, streaming
from benchmarks.pages.ledger import END, key_id
from proxy.pages.request import Access
from proxy.pages.table import PAGES

#: What the HTML of a page, its styles, scripts and pictures may be in bytes.
MAX_FIRST_PAINT_BYTES: Final = 150_000
_RUNS: Final = 5
_STREAMS_PER_SECOND: Final = 20
_MONTH: Final = "period=custom&from=2026-11-01&to=2026-11-30"
_STATIC: Final = re.compile(rb'(?:src|href)="(/static/[^"]+)"')
#: What the overview is asked for besides: for admins alone.
_VARIANTS: Final = ("by=key", "by=tag", "zone=Europe/Berlin", "by=tag&zone=Europe/Berlin")


@dataclass
class Times:
    """What was measured of one path by one reader. Milliseconds."""

    path: str
    reader: str
    size: int = 0
    first_byte: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    #: The status of a response that was no page.
    failed: int = 0


def run(data_dir: Path, only: str = "", runs: int = _RUNS) -> bool:
    """Print the times of the paths that contain `only`; whether each is within its bounds."""
    with tempfile.TemporaryDirectory(prefix="pages-") as name, running(data_dir, Path(name)) as gateway:
        found = [
            Times(path, reader) for reader in ("admin", "owner") for path in _paths(data_dir, reader) if only in path
        ]
        asyncio.run(_quiet(gateway, found, runs))
        with streaming(gateway, Path(name), rate=_STREAMS_PER_SECOND, seconds=600):
            asyncio.run(_beside(gateway, found, runs))
        paints = asyncio.run(_first_paints(gateway, [one.path for one in found if one.reader == "admin"]))
    _print(found, runs)
    slow = [one for one in found if one.failed or median(one.own) > MAX_MILLISECONDS]
    print(f"{len(found) - len(slow)} of {len(found)} responses within {MAX_MILLISECONDS} ms of the process's own time")
    for one in slow:
        print(f"  slower: {one.path} ({one.reader})")
    largest = max(paints, key=lambda paint: paint[1], default=("", 0))
    print(f"first paint: at most {largest[1]:,} bytes with styles, scripts and pictures ({largest[0]})")
    return not slow and largest[1] <= MAX_FIRST_PAINT_BYTES


def _paths(data_dir: Path, reader: str) -> Iterator[str]:
    """The pages of the dashboard that are read, with their twins and files."""
    with closing(sqlite3.connect(data_dir / "ledger.db")) as connection:
        found = "SELECT id FROM requests WHERE key = ? AND started < ? ORDER BY started DESC LIMIT 1"
        ((request,),) = connection.execute(found, (key_id(OWNER), END * 1_000_000))
    ids = {"request_id": request, "key_id": key_id(OWNER)}
    for page in PAGES:
        # The list of keys leads an owner to the page of the own one.
        if page.method != "GET" or page.access is Access.OPEN or page.path.endswith(".sse"):
            continue
        if reader == "admin" or (page.access is Access.VIEWER and page.path != "/dashboard/keys"):
            path = page.path.format(**ids)
            yield f"{path}?{_MONTH}"
            if path.startswith("/dashboard/overview") or path == "/dashboard":
                for variant in _VARIANTS:
                    if reader == "admin" or "by=" not in variant:
                        yield f"{path}?{_MONTH}&{variant}"


async def _quiet(gateway: RunningGateway, found: Sequence[Times], runs: int) -> None:
    for one in found:
        async with asyncio.timeout(300):
            for _ in range(runs + 1):
                before = gateway.child.cpu_nanoseconds()
                page = await _get(gateway, one)
                # The end of a response that was read in part is not waited for.
                own = (gateway.child.cpu_nanoseconds() - before) / 1_000_000
                one.first_byte.append(page.first_byte)
                one.whole.append(page.whole)
                one.own.append(own)
                one.size = page.size
        # The first one warms the caches.
        del one.first_byte[0], one.whole[0], one.own[0]


async def _beside(gateway: RunningGateway, found: Sequence[Times], runs: int) -> None:
    for one in found:
        async with asyncio.timeout(300):
            for _ in range(runs):
                one.beside.append((await _get(gateway, one)).whole)


async def _get(gateway: RunningGateway, one: Times) -> Page:
    """A page on a connection of its own: a file is not read to its end."""
    browser = Browser(gateway.port, gateway.admin if one.reader == "admin" else gateway.owner)
    try:
        page = await browser.get(one.path, whole=".csv" not in one.path)
    finally:
        await browser.close()
    if page.status != 200:
        one.failed = page.status
    return page


async def _first_paints(gateway: RunningGateway, paths: Sequence[str]) -> list[tuple[str, int]]:
    """The bytes of each page with all that it loads, by a browser that has kept nothing."""
    browser, found = Browser(gateway.port, gateway.admin), []
    for path in paths:
        if not re.search(r"\.(json|csv)\?", path):
            page = await browser.get(path)
            parts = [await browser.get(part.decode()) for part in sorted(set(_STATIC.findall(page.body)))]
            found.append((path, page.size + sum(part.size for part in parts)))
    await browser.close()
    return found


def _print(found: Sequence[Times], runs: int) -> None:
    columns = ("first byte", "whole", "own", "beside streams")
    print(f"{'':70} {'bytes':>9} " + "".join(f"{name:>18}" for name in columns))
    print(
        f"{f'milliseconds: median and maximum of {runs}':70} {'':9} "
        + "".join(f"{'median':>10}{'max':>8}" for _ in columns)
    )
    for one in found:
        cells = [
            f"{median(times):10.1f}{max(times):8.1f}" for times in (one.first_byte, one.whole, one.own, one.beside)
        ]
        failed = f"   status {one.failed}" if one.failed else ""
        print(f"{one.path.replace(_MONTH, '…')[:63]:63} {one.reader:6} {one.size:9,} " + "".join(cells) + failed)
