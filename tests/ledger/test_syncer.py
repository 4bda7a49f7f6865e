"""The sync thread: it ends when it is told to, and outlives a loop that is gone."""

import asyncio
import os
from pathlib import Path

from proxy.ledger.syncer import Syncer


def _ignore(descriptor: int, error: OSError) -> None:
    raise AssertionError(f"{descriptor}: {error}")


def test_a_retired_file_is_synced_and_closed(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    syncer = Syncer(tmp_path, _ignore)
    syncer.adopt()
    syncer.retire(descriptor)
    syncer.close()
    assert not os.path.exists(f"/proc/self/fd/{descriptor}")


def test_one_that_fails_keeps_no_other_waiting(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    syncer = Syncer(tmp_path, _ignore)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        told = asyncio.Event()

        def fail() -> None:
            raise ValueError

        syncer.submit(descriptor, fail)
        syncer.submit(descriptor, told.set)
        await asyncio.wait_for(told.wait(), 10)

    asyncio.run(run())
    syncer.retire(descriptor)
    syncer.close()
