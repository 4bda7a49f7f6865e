"""Long work yields to the event loop: by releasing the GIL in a thread, or in steps on the loop itself."""

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

# Without it the loop would wait for the interpreter's switch interval, and for the scheduler's time slice. A sleep of 0
# is too short for the loop's thread to wake.
_YIELD_SECONDS = 0.0001


def yield_gil() -> None:
    """Release the GIL from a worker thread so that the event loop can run; after each fraction of a millisecond."""
    time.sleep(_YIELD_SECONDS)


async def pause() -> None:
    """Yield to the event loop from work on it; after each few milliseconds."""
    await asyncio.sleep(0)


async def in_turns(steps: Generator[None, None, T]) -> T:
    """Run the steps of a generator, a few milliseconds each, yielding to the event loop between them; their result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
