"""The ledger as a whole: start, flush, stop, kill -9, two processes on one directory."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import StoreFailed
from proxy.ledger import sqlite
from proxy.ledger.ledger import Ledger, open_reports
from tests.ledger.samples import digest, final, lines, opened, request_id, segment


@asynccontextmanager
async def running(data_dir: Path, **options: Any) -> AsyncIterator[Ledger]:
    ledger = Ledger(data_dir, interval=0.01, **options)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.stop()


async def outcomes(ledger: Ledger) -> dict[str, str]:
    return {row.id: row.outcome async for row in ledger.reports.export()}


def test_what_was_appended_is_stored_after_a_flush(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "data", segment_bytes=2_000) as ledger:
            for number in range(50):
                ledger.journal.append(opened(number))
                ledger.journal.append(final(number))
            await ledger.flush()
            assert len(await outcomes(ledger)) == 50
            assert ledger.journal.unstored == 0
            assert (ledger.failure, ledger.warning) == (None, None)

    asyncio.run(run())
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "ledger.db").stat().st_mode & 0o777 == 0o600


def test_stop_stores_the_rest_and_leaves_no_journal(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as ledger:
            ledger.journal.append(final(1))
            ledger.journal.append(opened(2))
        await ledger.stop()
        assert list((tmp_path / "journal").iterdir()) == []
        async with open_reports(tmp_path) as reports:
            assert [row.outcome async for row in reports.export()] == ["complete", "interrupted"]

    asyncio.run(run())


CHILD = """
import asyncio, sys
from pathlib import Path
from proxy.ledger.ledger import Ledger
from tests.ledger.samples import final, opened
async def main():
    ledger = Ledger(Path(sys.argv[1]), interval=0.01, segment_bytes=20_000)
    await ledger.start()
    number = 0
    while True:
        number += 1
        ledger.journal.append(opened(number))
        if number % 10:
            ledger.journal.append(final(number))
        print(number, flush=True)
        await asyncio.sleep(0.0005)
asyncio.run(main())
"""


@contextmanager
def child_writing(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that appends without end, and prints the numbers to the file `printed`."""
    data_dir.mkdir(exist_ok=True)
    with (data_dir / "printed").open("wb") as printed:
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(data_dir)], stdout=printed)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def last_printed(data_dir: Path) -> int:
    """The last number that the child printed."""
    return int((data_dir / "printed").read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[2] or 0)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the background does, on a running loop."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


def check_child(found: dict[str, str], last: int) -> None:
    for number in range(1, last + 1):
        assert found[request_id(number)] == ("complete" if number % 10 else "interrupted")


def test_kill_9_while_the_store_is_written_loses_nothing(tmp_path: Path) -> None:
    with child_writing(tmp_path) as child:
        wait_until(lambda: last_printed(tmp_path) >= 500)
        child.send_signal(signal.SIGKILL)
        child.wait()
    last = last_printed(tmp_path)

    async def run() -> None:
        async with running(tmp_path) as ledger:
            found = await outcomes(ledger)
            usage = await ledger.reports.usage(by="key")
        check_child(found, last)
        assert usage.totals.requests == len(found)

    asyncio.run(run())


def test_the_lock_moves_to_the_living_and_they_store_what_the_dead_left(tmp_path: Path) -> None:
    async def run(child: subprocess.Popen[bytes]) -> None:
        async with running(tmp_path) as ledger:
            assert ledger._ingester.is_writer is False
            # The other process stores this one's records too, and this one sees that.
            ledger.journal.append(final(10**9))
            await ledger.flush()
            child.send_signal(signal.SIGKILL)
            await asyncio.to_thread(child.wait)
            last = last_printed(tmp_path)
            await until(lambda: ledger._ingester.is_writer)
            ledger.journal.append(final(10**9 + 1))
            await ledger.flush()
            found = await outcomes(ledger)
        check_child(found, last)
        assert {request_id(10**9), request_id(10**9 + 1)} <= found.keys()

    with child_writing(tmp_path) as child:
        wait_until(lambda: last_printed(tmp_path) >= 1)
        asyncio.run(run(child))


def test_segments_that_another_process_stored_and_removed_are_stored(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as writing, running(tmp_path, segment_bytes=1_000) as ledger:
            for number in range(20):
                ledger.journal.append(final(number))
            await until(lambda: len(list((tmp_path / "journal").glob(f"{ledger.journal.owner}*"))) == 1)
            await ledger.flush()
            assert (writing._ingester.is_writer, ledger._ingester.is_writer) == (True, False)
            assert ledger.journal.unstored == 0
            assert len(ledger.journal.positions()) == 1

    asyncio.run(run())


def test_a_full_backlog_is_a_failure_until_the_database_takes_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, max_unstored_bytes=20_000) as ledger:
            other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            number = 0
            while not ledger.failure:
                number += 1
                ledger.journal.append(final(number))
            await until(lambda: ledger.warning is not None)
            other.close()
            await ledger.flush()
            assert not ledger.failure
            assert len(await outcomes(ledger)) == number

    asyncio.run(run())


def test_the_timer_recovers_the_journal_when_nothing_is_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with running(tmp_path) as ledger:
            with monkeypatch.context() as patch:

                def full(*_: object) -> int:
                    raise OSError(28, "No space left on device")

                patch.setattr(os, "write", full)
                with pytest.raises(StoreFailed):
                    ledger.journal.append(final(1))
                assert ledger.failure
            await until(lambda: ledger.failure is None)
            await ledger.flush()
            assert await outcomes(ledger) == {request_id(1): "complete"}

    asyncio.run(run())


def test_the_estimator_remembers_across_starts(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as ledger:
            for number in range(300):
                ledger.journal.append(final(number, text_in=1_000, input_tokens=1_000))
                ledger.journal.append(final(number + 1_000, text_in=1_000, input_tokens=10, outcome="upstream_cut"))
        async with running(tmp_path) as ledger:
            found, _ = ledger.estimator.estimate("key_aaaaaaaaaaaa", "prometheus-core", 1_000, 0)
            assert found == pytest.approx(1_000, abs=10)

    asyncio.run(run())


def test_a_damaged_ledger_refuses_the_start_and_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"damaged" * 10_000)
    before = digest(tmp_path / "ledger.db")
    with pytest.raises(StoreFailed, match="damaged"):
        asyncio.run(Ledger(tmp_path).start())
    assert digest(tmp_path / "ledger.db") == before


def test_a_ledger_that_did_not_start_can_be_stopped(tmp_path: Path) -> None:
    asyncio.run(Ledger(tmp_path).stop())


def test_reports_beside_no_gateway_take_in_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    segment(tmp_path / "journal", lines(final(1), opened(2)))

    async def run() -> None:
        async with open_reports(tmp_path) as reports:
            assert (await reports.usage(by="model")).totals.requests == 2

    asyncio.run(run())


def test_reports_beside_a_gateway_only_read(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as ledger, open_reports(tmp_path) as reports:
            ledger.journal.append(final(1))
            await ledger.flush()
            assert ledger._ingester.is_writer
            assert (await reports.usage(by="model")).totals.requests == 1

    asyncio.run(run())


def test_reports_of_no_ledger_say_where_to_look(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_reports(tmp_path):
            raise AssertionError

    with pytest.raises(StoreFailed, match="--data-dir"):
        asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_a_row_with_parts_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rare = {
        "cache_write_1h_tokens": 1,
        "audio_input_tokens": 2,
        "audio_output_tokens": 3,
        "image_input_tokens": 4,
        "image_output_tokens": 5,
        "searches": 6,
        "tool_calls": 7,
        "advisor_input_tokens": 8,
        "advisor_output_tokens": 9,
        "service_tier": "flex",
        "provider_cost": 10,
        "unpriced_parts": "tiers.flex",
        "requested_model": "gpt-4o",
    }
    rows = [final(1), final(2, **rare), final(3, provider_cost=0), final(4)]

    async def run() -> None:
        async with running(tmp_path) as ledger:
            for row in rows:
                ledger.journal.append(row)
        async with open_reports(tmp_path) as reports:
            assert [row async for row in reports.export()] == rows

    asyncio.run(run())


def test_a_ledger_of_an_earlier_version_keeps_its_rows(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    sqlite.migrate(connection, tmp_path / "ledger.db", sqlite.migrations()[:2])
    old = final(1)
    names = [name for name, _ in zip(old.__struct_fields__, range(27), strict=False)]
    assert names[-1] == "error_code"
    values = [getattr(old, name) for name in names]
    connection.execute(f"INSERT INTO requests ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)
    connection.close()

    async def run() -> None:
        async with running(tmp_path) as ledger:
            ledger.journal.append(final(2, searches=3))
        async with open_reports(tmp_path) as reports:
            assert [row async for row in reports.export()] == [old, final(2, searches=3)]

    asyncio.run(run())
