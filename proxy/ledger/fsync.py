"""A thread that syncs appended records to the disk: group commit, so that many appends share one fdatasync.

It writes no records. A record whose sync failed is handed back: the kernel may have dropped the pages that it could not
write and call the next sync of the same file a success, so a file whose sync failed is never synced again.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from proxy.ledger import segments
from proxy.ledger.backlog import Segment

#: Called on the event loop when a record is durable.
Callback = Callable[[], None] | None
#: An appended record with its callback.
PendingRecord = tuple[bytes, Callback]


class _Batch:
    """What the next sync covers."""

    def __init__(self) -> None:
        self.segments: set[Segment] = set()
        self.ended: set[Segment] = set()
        self.records: list[tuple[Segment, bytes, Callback]] = []
        #: A segment was created: the directory is synced too, for its name.
        self.sync_directory = False


class FsyncThread:
    """Group commit: `submit` on the event loop, fdatasync in the thread, callbacks on the event loop again."""

    def __init__(self, directory: Path, on_failure: Callable[[Segment, OSError, list[PendingRecord]], None]) -> None:
        """Needs a running event loop. `on_failure` is called on it, with a segment, the error of its sync, and the
        records that may not be durable."""
        self._directory = directory
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._next = _Batch()
        self._stopping = False
        #: Segments whose sync failed, with the first error.
        self._failed: dict[Segment, OSError] = {}
        self._results: deque[tuple[dict[Segment, OSError], _Batch]] = deque()
        #: Bytes submitted whose sync has not ended.
        self.unsynced = 0
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def segment_created(self) -> None:
        """Include the directory, which has the name of a new segment, in the next sync."""
        with self._changed:
            self._next.sync_directory = True

    def submit(self, segment: Segment, line: bytes, callback: Callback) -> None:
        """Sync the segment to which `line` was appended; then call `callback` on the event loop."""
        self.unsynced += len(line)
        with self._changed:
            self._next.segments.add(segment)
            self._next.records.append((segment, line, callback))
            self._changed.notify()

    def close_segment(self, segment: Segment) -> None:
        """Sync a segment one last time and close it."""
        with self._changed:
            self._next.segments.add(segment)
            self._next.ended.add(segment)
            self._changed.notify()

    def call(self, callback: Callback) -> None:
        """Schedule `callback` on the event loop, so that one that raises does not delay the others."""
        if callback is not None and not self._loop.is_closed():
            self._loop.call_soon(callback)

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
                while not (self._next.segments or self._stopping):
                    self._changed.wait()
                if not self._next.segments:
                    return
                batch, self._next = self._next, _Batch()
            failures = self._sync(batch)
            for segment in batch.ended:
                os.close(segment.descriptor)
                self._failed.pop(segment, None)
            self._results.append((failures, batch))
            # On a closed loop nothing waits for a result any more.
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._deliver)

    def _sync(self, batch: _Batch) -> dict[Segment, OSError]:
        for segment in batch.segments.difference(self._failed):
            try:
                os.fdatasync(segment.descriptor)
            except OSError as error:
                self._failed[segment] = error
        if batch.sync_directory:
            try:
                segments.sync(self._directory)
            except OSError as error:
                self._failed |= dict.fromkeys(batch.segments, error)
        return {segment: self._failed[segment] for segment in batch.segments if segment in self._failed}

    def _deliver(self) -> None:
        while self._results:
            failures, batch = self._results.popleft()
            failed: dict[Segment, list[PendingRecord]] = {segment: [] for segment in failures}
            for segment, line, callback in batch.records:
                self.unsynced -= len(line)
                if segment in failed:
                    failed[segment].append((line, callback))
                else:
                    self.call(callback)
            for segment, error in failures.items():
                # A segment that failed before and was given up has no further records.
                if failed[segment]:
                    self._on_failure(segment, error, failed[segment])
