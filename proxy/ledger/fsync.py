"""One thread that brings appended records to the disk: many appends share one fdatasync.

It writes no records and decides nothing. A record whose sync failed is handed back: the kernel may have dropped the
pages that it could not write and call the next sync of the same file a success, so no file that failed is synced again.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from proxy.ledger import segments

Then = Callable[[], None] | None
#: A record that was appended, and what is to be called when it is on the disk.
Written = tuple[bytes, Then]


class File:
    """An open file: its descriptor's number may be another file's one day, this is not."""

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor


class FsyncThread:
    """Group commit: `submit` on the event loop, fdatasync in a thread, `then` on the event loop again."""

    def __init__(self, directory: Path, on_failure: Callable[[File, OSError, list[Written]], None]) -> None:
        """Needs a running event loop. `on_failure` is called on it, with a file, what its sync raised, and the
        records that may not be on the disk."""
        self._directory = directory
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._dirty: set[File] = set()
        self._retired: set[File] = set()
        self._written: list[tuple[File, bytes, Then]] = []
        self._new_names = False
        self._stopping = False
        self._suspect: dict[File, OSError] = {}
        self._outcomes: deque[tuple[dict[File, OSError], list[tuple[File, bytes, Then]]]] = deque()
        #: Bytes submitted whose sync has not ended.
        self.behind = 0
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def adopt(self) -> None:
        """A segment was created: the next sync includes the directory, for its name."""
        with self._changed:
            self._new_names = True

    def submit(self, file: File, line: bytes, then: Then) -> None:
        """Sync `file`, to which `line` was appended, soon; call `then` on the event loop when that is done."""
        self.behind += len(line)
        with self._changed:
            self._dirty.add(file)
            self._written.append((file, line, then))
            self._changed.notify()

    def retire(self, file: File) -> None:
        """Sync `file` a last time and close it."""
        with self._changed:
            self._dirty.add(file)
            self._retired.add(file)
            self._changed.notify()

    def tell(self, then: Then) -> None:
        """Call `then` on the event loop: through it, so that one that fails does not keep the others waiting."""
        if then is not None and not self._loop.is_closed():
            self._loop.call_soon(then)

    def close(self) -> None:
        """Sync what is left and end the thread; blocks for as long as that takes."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()
        self._deliver()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._dirty or self._stopping):
                    self._changed.wait()
                if not self._dirty:
                    return
                dirty, self._dirty = self._dirty, set()
                retired, self._retired = self._retired, set()
                written, self._written = self._written, []
                new_names, self._new_names = self._new_names, False
            failures = self._sync(dirty, new_names)
            for file in retired:
                os.close(file.descriptor)
                self._suspect.pop(file, None)
            self._outcomes.append((failures, written))
            # A loop that is gone has nobody left who waits.
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._deliver)

    def _sync(self, dirty: set[File], new_names: bool) -> dict[File, OSError]:
        for file in dirty.difference(self._suspect):
            try:
                os.fdatasync(file.descriptor)
            except OSError as error:
                self._suspect[file] = error
        if new_names:
            try:
                segments.sync(self._directory)
            except OSError as error:
                self._suspect |= dict.fromkeys(dirty, error)
        return {file: self._suspect[file] for file in dirty if file in self._suspect}

    def _deliver(self) -> None:
        while self._outcomes:
            failures, written = self._outcomes.popleft()
            failed: dict[File, list[Written]] = {file: [] for file in failures}
            for file, line, then in written:
                self.behind -= len(line)
                if file in failed:
                    failed[file].append((line, then))
                else:
                    self.tell(then)
            for file, error in failures.items():
                # One that failed before and was given up has nothing more to lose.
                if failed[file]:
                    self._on_failure(file, error, failed[file])
