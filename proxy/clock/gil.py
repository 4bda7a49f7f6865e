"""The turn of the event loop: long work gives it one often, in a thread beside it or on it.

Nothing is known here of what is worked on.
"""

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

# Python itself would let the loop wait for as long as its switch interval, and the system for as long as its time
# slice. A sleep of 0 is too short for the loop's thread to wake and take its turn.
_SECONDS = 0.0001


def yield_gil() -> None:
    """Let the event loop have its turn. For work in a thread, after each fraction of a millisecond of it."""
    time.sleep(_SECONDS)


async def pause() -> None:
    """Let everything else have its turn. For work on the event loop, after each few milliseconds of it."""
    await asyncio.sleep(0)


async def in_turns(steps: Generator[None, None, T]) -> T:
    """Make steps of a few milliseconds each, with a turn of the event loop between them; what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
