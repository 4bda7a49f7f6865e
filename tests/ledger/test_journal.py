"""The journal: one line a record, refusal when the disk refuses, and nothing lost that was accepted."""

import asyncio
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.errors import StoreFailed
from proxy.ledger import segments
from proxy.ledger.journal import Journal
from proxy.ledger.record import AttemptRecord, UsageRecord
from tests.ledger.samples import final, lines, opened


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path, durability="process")
    yield journal
    journal.close()


def content(directory: Path) -> list[bytes]:
    """All whole, not blank lines of the journal, in order."""
    found = []
    for name in segments.names(directory):
        found += [line for line in (directory / name).read_bytes().split(b"\n")[:-1] if line.strip()]
    return found


def expected(*numbers: int) -> list[bytes]:
    return [lines(final(number)).strip() for number in numbers]


def append_until_refused(journal: Journal, make: Callable[[int], AttemptRecord | UsageRecord]) -> int:
    """Append records until one is refused; returns how many were taken."""
    for number in range(1, 10_000):
        try:
            journal.append(make(number))
        except StoreFailed:
            return number - 1
    raise AssertionError("the journal took everything")


def failing_write(monkeypatch: pytest.MonkeyPatch, *, after: int = 0) -> None:
    """From now on the disk takes `after` bytes more."""
    write, room = os.write, [after]

    def fake(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", fake)


def test_each_record_is_one_line(journal: Journal, tmp_path: Path) -> None:
    journal.append(opened(1))
    journal.append(final(1))
    assert content(tmp_path) == lines(opened(1), final(1)).splitlines()


def test_then_is_called_at_once_when_the_page_cache_is_enough(journal: Journal) -> None:
    called: list[int] = []
    journal.append(final(1), lambda: called.append(1))
    assert called == [1]


def test_segments_rotate_and_the_old_one_is_let_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path, durability="process", segment_bytes=1_000)
    for number in range(10):
        journal.append(final(number))
    names = segments.names(tmp_path)
    assert len(names) > 2
    assert [segments.is_closed(tmp_path / name) for name in names] == [True] * (len(names) - 1) + [False]
    assert content(tmp_path) == expected(*range(10))
    journal.close()


def test_a_segment_that_cannot_be_opened_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, durability="process", segment_bytes=1)

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(segments, "create", refuse)
    journal.append(final(1))
    journal.append(final(2))
    assert not journal.failed
    assert content(tmp_path) == expected(1, 2)
    journal.close()


def test_a_short_write_is_completed(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:100]))
    journal.append(final(1))
    assert content(tmp_path) == expected(1)


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_is_reported_and_recovered_from_and_corrupts_nothing(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    journal.append(final(1))
    with monkeypatch.context() as patch:
        failing_write(patch, after=room)
        with pytest.raises(StoreFailed, match="No space left"):
            journal.append(opened(2))
        journal.probe()
        assert journal.failed
        assert len(segments.names(tmp_path)) == 1
    journal.append(final(3))
    assert not journal.failed
    assert content(tmp_path) == expected(1, 3)


def test_a_settled_request_that_the_disk_refused_is_written_when_it_can_be(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing_write(patch)
        for number in (1, 2):
            with pytest.raises(StoreFailed):
                journal.append(final(number))
        assert journal.unwritten == 2
    journal.probe()
    assert (journal.failed, journal.unwritten) == (None, 0)
    assert content(tmp_path) == expected(1, 2)


def test_a_real_limit_on_the_file_size_is_survived_in_the_next_segment(tmp_path: Path) -> None:
    journal = Journal(tmp_path, durability="process")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        for number in (1, 2):
            journal.append(final(number))
        with pytest.raises(StoreFailed, match="File too large"):
            journal.append(final(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.append(final(4))
    journal.close()
    assert content(tmp_path) == expected(1, 2, 3, 4)


def test_a_full_backlog_refuses_new_work_but_settles_what_runs(tmp_path: Path) -> None:
    journal = Journal(tmp_path, durability="process", max_unstored_bytes=64_000)
    taken = append_until_refused(journal, opened)
    journal.append(final(1))
    assert journal.unstored <= 64_000 * 17 // 16
    append_until_refused(journal, final)
    assert journal.unstored <= 64_000 * 17 // 16
    assert journal.failed
    for name, length in journal.positions().items():
        journal.acknowledge(name, length)
    assert not journal.failed
    journal.append(opened(taken + 1))
    journal.close()


def test_what_is_stored_is_no_backlog_any_more(tmp_path: Path) -> None:
    journal = Journal(tmp_path, durability="process", segment_bytes=1_000)
    for number in range(9):
        journal.append(final(number))
    targets = journal.positions()
    assert journal.unstored == sum(targets.values())
    assert not journal.is_stored(targets)
    for name, length in targets.items():
        journal.acknowledge(name, length)
        journal.acknowledge(name, length)
    assert journal.unstored == 0
    assert journal.is_stored(targets)
    assert len(journal.positions()) == 1
    journal.acknowledge("another-00000001.journal", 10)
    assert journal.unstored == 0
    journal.close()


def test_a_record_that_cannot_be_encoded_is_refused_and_breaks_nothing(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="no record can hold"):
        journal.append(final(1, alias="\ud800"))
    assert not journal.failed
    journal.append(final(2))
    assert content(tmp_path) == expected(2)


def test_a_closed_journal_refuses(tmp_path: Path) -> None:
    journal = Journal(tmp_path, durability="process")
    journal.close()
    journal.close()
    with pytest.raises(StoreFailed, match="closed"):
        journal.append(final(1))


def test_a_directory_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="cannot be opened"):
        Journal(tmp_path / "nowhere", durability="process")


CHILD = """
import sys
from pathlib import Path
from proxy.ledger.journal import Journal
from tests.ledger.samples import final, opened
journal = Journal(Path(sys.argv[1]), durability="process", segment_bytes=20_000)
number = 0
while True:
    number += 1
    journal.append(opened(number))
    journal.append(final(number))
    print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    printed = 0
    for line in child.stdout:
        printed = int(line)
        if printed >= 300:
            break
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    child.stdout.close()
    child.wait()
    printed = int(rest[-1]) if rest else printed
    found = set(content(tmp_path))
    assert not [number for number in range(1, printed + 1) if expected(number)[0] not in found]
    assert all(segments.is_closed(tmp_path / name) for name in segments.names(tmp_path))


def held_sync(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], threading.Event, threading.Event]:
    """Hold each fdatasync until the second event is set; the first one is set when one has begun."""
    syncs: list[int] = []
    begun, release = threading.Event(), threading.Event()

    def hold(descriptor: int) -> None:
        syncs.append(descriptor)
        begun.set()
        release.wait(10)

    monkeypatch.setattr(os, "fdatasync", hold)
    return syncs, begun, release


def test_in_power_mode_then_comes_only_after_a_sync_that_many_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs, begun, release = held_sync(monkeypatch)

    async def run() -> None:
        journal = Journal(tmp_path, durability="power")
        done: list[int] = []
        all_done = asyncio.Event()

        def then(number: int) -> Callable[[], None]:
            def call() -> None:
                done.append(number)
                if len(done) == 51:
                    all_done.set()

            return call

        journal.append(final(0), then(0))
        await asyncio.to_thread(begun.wait)
        for number in range(1, 51):
            journal.append(final(number), then(number))
        await asyncio.sleep(0)
        assert done == []
        release.set()
        await asyncio.wait_for(all_done.wait(), 10)
        assert done == list(range(51))
        # One for the first, one for the fifty that came while it ran.
        assert len(syncs) == 2
        journal.close()

    asyncio.run(run())


class FailingSync:
    """fdatasync that fails so many times, each time for the file that it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        self.failed: list[str] = []
        self.synced: list[str] = []
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, descriptor: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        if self.left:
            self.left -= 1
            self.failed.append(name)
            raise OSError(errno.EIO, "Input/output error")
        self.synced.append(name)


def test_what_a_failed_sync_may_have_lost_is_written_and_synced_elsewhere_before_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sync = FailingSync(monkeypatch, 1)

    async def run() -> None:
        journal = Journal(tmp_path, durability="power")
        durable = asyncio.Event()
        journal.append(opened(1))
        journal.append(final(1), durable.set)
        await asyncio.wait_for(durable.wait(), 10)
        await asyncio.sleep(0)
        assert journal.failed is None
        journal.append(final(2))
        journal.close()

    asyncio.run(run())
    first, *others = segments.names(tmp_path)
    again = b"".join((tmp_path / name).read_bytes() for name in others).replace(b" ", b"").split()
    assert again == lines(opened(1), final(1), final(2)).split()
    # What the kernel says of a file after it has failed once means nothing.
    assert sync.failed == [first]
    assert set(sync.synced) == set(others)
    assert {record.levelname for record in caplog.records} == {"ERROR", "WARNING"}
    assert "Input/output error" in caplog.text


def test_a_disk_whose_syncs_keep_failing_delays_no_response_and_takes_no_new_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = FailingSync(monkeypatch, 1_000)

    async def run() -> None:
        journal = Journal(tmp_path, durability="power")
        durable = asyncio.Event()
        journal.append(final(1), durable.set)
        await asyncio.wait_for(durable.wait(), 10)
        with pytest.raises(StoreFailed, match="Input/output error"):
            journal.append(opened(2))
        with pytest.raises(StoreFailed):
            journal.append(final(3))
        for _ in range(20):
            journal.probe()
            await asyncio.sleep(0)
        # Each try costs a segment: they are not made in a storm.
        assert len(segments.names(tmp_path)) <= 3
        sync.left = 0
        journal.close()

    asyncio.run(run())
    last = segments.names(tmp_path)[-1]
    assert (tmp_path / last).read_bytes() == lines(final(1), final(3))
    assert sync.synced == [last]


def test_a_journal_that_was_moved_away_takes_no_new_work_until_it_is_back(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    directory.mkdir()
    journal = Journal(directory, durability="process")
    journal.append(final(1))
    directory.rename(tmp_path / "elsewhere")
    journal.probe()
    with pytest.raises(StoreFailed, match="removed or replaced"):
        journal.append(opened(2))
    with pytest.raises(StoreFailed):
        journal.append(final(3))
    (tmp_path / "elsewhere").rename(directory)
    journal.probe()
    assert journal.failed is None
    journal.close()
    assert content(directory) == expected(1, 3)


def test_what_a_removed_segment_held_is_written_again(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    directory.mkdir()
    journal = Journal(directory, durability="process")
    journal.append(final(1))
    journal.acknowledge(journal.segment, len(lines(final(1))))
    journal.append(final(2))
    shutil.rmtree(directory)
    journal.probe()
    assert journal.failed
    directory.mkdir()
    journal.probe()
    assert not journal.failed
    journal.close()
    assert content(directory) == expected(2)


def test_what_no_disk_takes_to_the_end_is_logged_so_that_it_can_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path, durability="process")
    with monkeypatch.context() as patch:
        failing_write(patch)
        with pytest.raises(StoreFailed):
            journal.append(final(1))
        journal.close()
    assert lines(final(1)).decode() in caplog.text
    assert "recovered-1.journal" in caplog.text


def test_a_disk_that_does_not_end_its_syncs_gets_no_new_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, release = held_sync(monkeypatch)
    monkeypatch.setattr("proxy.ledger.journal._MAX_UNSYNCED_BYTES", 1_000)

    async def run() -> None:
        journal = Journal(tmp_path, durability="power")
        for number in range(4):
            journal.append(final(number))
        assert "has not synced" in str(journal.failed)
        release.set()
        journal.close()
        assert journal.failed is None

    asyncio.run(run())


def test_in_power_mode_closing_syncs_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)

    async def run() -> None:
        journal = Journal(tmp_path, durability="power", segment_bytes=500)
        for number in range(4):
            journal.append(final(number))
        journal.close()

    asyncio.run(run())
    assert syncs
    assert all(segments.is_closed(tmp_path / name) for name in segments.names(tmp_path))


async def turns_until(condition: Callable[[], bool]) -> None:
    """Wait turn by turn of the event loop, so that not one of them is missed."""
    while not condition():  # noqa: ASYNC110 (what is looked at has no event)
        await asyncio.sleep(0)


def test_a_closed_journal_that_recovers_at_last_takes_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FailingSync(monkeypatch, 1)

    async def run() -> None:
        journal = Journal(tmp_path, durability="power")
        journal.append(final(1))
        await turns_until(lambda: journal.failed is not None)
        journal.close()
        await turns_until(lambda: journal.failed is None)
        with pytest.raises(StoreFailed, match="shutting down"):
            journal.append(final(2))

    asyncio.run(asyncio.wait_for(run(), 10))


def test_without_a_sync_a_record_is_durable_when_append_returns(journal: Journal) -> None:
    called: list[int] = []
    journal.append(final(1), lambda: called.append(1))
    assert called == [1]
