"""The fsync thread: it syncs and closes segments, and a callback that raises delays no other."""

import asyncio
import os
from pathlib import Path

from proxy.ledger.backlog import Segment
from proxy.ledger.fsync import FsyncThread, PendingRecord


def _ignore(segment: Segment, error: OSError, records: list[PendingRecord]) -> None:
    raise AssertionError(f"{segment.name}: {error}, {records}")


def test_a_closed_segment_is_synced_first(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    segment = Segment("file", 1, descriptor)

    async def run() -> None:
        thread = FsyncThread(tmp_path, _ignore)
        thread.segment_created()
        thread.close_segment(segment)
        thread.close()

    asyncio.run(run())
    assert not os.path.exists(f"/proc/self/fd/{descriptor}")


def test_a_callback_that_raises_delays_no_other(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    segment = Segment("file", 1, descriptor)

    async def run() -> None:
        thread = FsyncThread(tmp_path, _ignore)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        synced = asyncio.Event()

        def fail() -> None:
            raise ValueError

        thread.submit(segment, b"", fail)
        thread.submit(segment, b"", synced.set)
        await asyncio.wait_for(synced.wait(), 10)
        thread.close_segment(segment)
        thread.close()

    asyncio.run(run())
