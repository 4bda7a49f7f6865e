"""One thread that brings appended records to the disk: many appends share one fdatasync.

It writes no records and decides nothing; a failed sync is reported once and everybody who waits is still told.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path


class Syncer:
    """Group commit: `submit` on the event loop, fdatasync in a thread, `then` on the event loop."""

    def __init__(self, directory: Path, on_failure: Callable[[int, OSError], None]) -> None:
        """`on_failure` is called in the thread with the descriptor whose data may not be on the disk."""
        self._directory = directory
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._dirty: set[int] = set()
        self._retired: set[int] = set()
        self._waiting: list[Callable[[], None]] = []
        self._new_names = False
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def adopt(self) -> None:
        """A segment was created: the next sync includes the directory, for its name."""
        with self._changed:
            self._new_names = True

    def submit(self, descriptor: int, then: Callable[[], None] | None) -> None:
        """Sync `descriptor` soon, and call `then` on the running event loop when that is done."""
        if then is not None:
            self._loop = asyncio.get_running_loop()
        with self._changed:
            self._dirty.add(descriptor)
            if then is not None:
                self._waiting.append(then)
            self._changed.notify()

    def retire(self, descriptor: int) -> None:
        """Sync `descriptor` a last time and close it."""
        with self._changed:
            self._dirty.add(descriptor)
            self._retired.add(descriptor)
            self._changed.notify()

    def close(self) -> None:
        """Sync what is left and end the thread; blocks for as long as that takes."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._dirty or self._stopping):
                    self._changed.wait()
                if not self._dirty:
                    return
                dirty, self._dirty = self._dirty, set()
                retired, self._retired = self._retired, set()
                waiting, self._waiting = self._waiting, []
                new_names, self._new_names = self._new_names, False
            self._sync(dirty, new_names)
            for descriptor in retired:
                os.close(descriptor)
            if waiting:
                self._tell(waiting)

    def _sync(self, dirty: set[int], new_names: bool) -> None:
        for descriptor in dirty:
            try:
                os.fdatasync(descriptor)
                if new_names:
                    self._sync_directory()
            except OSError as error:
                self._on_failure(descriptor, error)

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _tell(self, waiting: list[Callable[[], None]]) -> None:
        loop = self._loop
        # A loop that is gone has nobody left who waits.
        if loop is None or loop.is_closed():
            return
        loop.call_soon_threadsafe(_call_each, loop, waiting)


def _call_each(loop: asyncio.AbstractEventLoop, waiting: list[Callable[[], None]]) -> None:
    # Through the loop, so that one that fails does not keep the others waiting.
    for then in waiting:
        loop.call_soon(then)
