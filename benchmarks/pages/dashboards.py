"""Dashboards that are open: each loads two pages again and again, and follows the requests. A process of its own.

    python -m benchmarks.pages.dashboards --port N --sessions TOKEN … --seconds S

It prints how many pages it was sent, and how many events.
"""

import argparse
import asyncio
import json
from collections import Counter
from typing import Final

from benchmarks.pages.browser import Browser

#: Seconds between two loads of a page.
INTERVAL: Final = 1.0
_PAGES: Final = ("/dashboard", "/dashboard/requests")


async def run(port: int, sessions: list[str], seconds: float) -> Counter[str]:
    """Keep a dashboard open for each session."""
    counts: Counter[str] = Counter()
    tasks = [
        asyncio.ensure_future(work)
        for number, session in enumerate(sessions)
        for work in (
            _reload(port, session, counts, INTERVAL * number / len(sessions)),
            _follow(port, session, counts),
        )
    ]
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in done:
        task.result()
    return counts


async def _reload(port: int, session: str, counts: Counter[str], delay: float) -> None:
    """Load both pages each second; later where that takes longer, as a reader would."""
    browser = Browser(port, session)
    loop = asyncio.get_running_loop()
    when = loop.time() + delay
    try:
        while True:
            await asyncio.sleep(max(when - loop.time(), 0))
            when = max(when + INTERVAL, loop.time())
            for path in _PAGES:
                page = await browser.get(path)
                counts["pages" if page.status == 200 else f"status {page.status}"] += 1
    finally:
        await browser.close()


async def _follow(port: int, session: str, counts: Counter[str]) -> None:
    """The list of requests as they end."""
    browser = Browser(port, session)
    try:
        async for piece in browser.follow("/dashboard/requests/live.sse"):
            counts["events"] += piece.count(b"event: request\n")
    finally:
        await browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages.dashboards", description="Open dashboards.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sessions", nargs="+", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(run(arguments.port, arguments.sessions, arguments.seconds))), flush=True)


if __name__ == "__main__":
    main()
