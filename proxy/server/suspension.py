"""The two places where a coroutine that runs in no task is left and entered, which no `await` can express.

Never compiled (setup.py): these are generators that pass for coroutines, and only the interpreter's own do.
"""

import types
from collections.abc import Generator
from typing import Any, Final

#: What a coroutine yields when it waits for a `RequestWaiter` outside a task.
SUSPENDED: Final = object()


@types.coroutine
def suspend() -> Generator[Any, None, None]:
    """Give control back to whoever steps this coroutine."""
    yield SUSPENDED


@types.coroutine
def taken_over(coroutine: Any, waits_for: Any) -> Generator[Any, Any, None]:
    """Go on, in a task, with a coroutine that was begun by hand, and waits for something only a task can give it."""
    yield waits_for
    yield from coroutine
