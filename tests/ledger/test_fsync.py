"""The sync thread: it ends when it is told to, and outlives a loop that is gone."""

import asyncio
import os
from pathlib import Path

from proxy.ledger.fsync import File, FsyncThread, Written


def _ignore(file: File, error: OSError, written: list[Written]) -> None:
    raise AssertionError(f"{file.descriptor}: {error}, {written}")


def test_a_retired_file_is_synced_and_closed(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    file = File(descriptor)

    async def run() -> None:
        syncer = FsyncThread(tmp_path, _ignore)
        syncer.adopt()
        syncer.retire(file)
        syncer.close()

    asyncio.run(run())
    assert not os.path.exists(f"/proc/self/fd/{descriptor}")


def test_one_that_fails_keeps_no_other_waiting(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    file = File(descriptor)

    async def run() -> None:
        syncer = FsyncThread(tmp_path, _ignore)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        told = asyncio.Event()

        def fail() -> None:
            raise ValueError

        syncer.submit(file, b"", fail)
        syncer.submit(file, b"", told.set)
        await asyncio.wait_for(told.wait(), 10)
        syncer.retire(file)
        syncer.close()

    asyncio.run(run())
