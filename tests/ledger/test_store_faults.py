"""A running gateway whose store fails: running requests end and are billed, new ones are refused, and it recovers."""

import errno
import logging
import sqlite3
import threading
from pathlib import Path

import msgspec
import pytest

from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger.ledger import Ledger
from proxy.overload.grades import NEVER, Gauge
from tests.exchange.samples import DONE, HELLO, ROLE, STOP, USAGE, begun, ended, question, serving, wait_until
from tests.fakes import LAST_CHUNK, ScriptedUpstream, Send, WaitFor, chunk
from tests.ledger.disk_faults import Fault, failing, file_size_limit, filled, moved_away, small_disk
from tests.serving import RunningGateway, simple_config

FULL = failing(errno.ENOSPC, "write", "open")
FAULTS: dict[str, tuple[Fault, Durability]] = {
    "full": (FULL, "process"),
    "full and synced": (FULL, "power"),
    "write error": (failing(errno.EIO, "write"), "process"),
    "sync error": (failing(errno.EIO, "fdatasync"), "power"),
    "read only": (failing(errno.EROFS, "write", "open"), "process"),
    "file size limit": (file_size_limit, "process"),
    "moved away": (moved_away, "process"),
}


def ask(gateway: RunningGateway) -> int:
    """One request; its status."""
    with gateway.client() as client:
        gateway.chat(client, question())
        return client.read_answer()[0].status


def readiness(gateway: RunningGateway) -> tuple[int, dict[str, object]]:
    with gateway.client() as client:
        client.request("GET", "/readyz")
        head, body = client.read_answer()
        return head.status, msgspec.json.decode(body.payload)


def survive(data_dir: Path, fault: Fault, gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """One request before the fault, one that it meets half way, some that are refused, and one afterwards."""
    upstream.script(ended(ROLE, HELLO, STOP, USAGE, DONE))
    assert ask(gateway) == 200
    gate = threading.Event()
    rest = [chunk(STOP), chunk(USAGE), chunk(DONE), Send(LAST_CHUNK)]
    upstream.script([*begun(ROLE, HELLO), WaitFor(gate, 20.0), *rest])
    with gateway.client() as running:
        gateway.chat(running, question())
        running.read_head()
        assert running.read_chunk()
        with fault(data_dir):
            gate.set()
            assert b"[DONE]" in running.read_chunked().payload
            wait_until(lambda: readiness(gateway)[0] == 503, "the refusal")
            asked = len(upstream.requests)
            assert [ask(gateway) for _ in range(5)] == [503] * 5
            assert len(upstream.requests) == asked
    wait_until(lambda: readiness(gateway) == (200, {"status": "ok"}), "the recovery")
    upstream.script(ended(ROLE, HELLO, STOP, USAGE, DONE))
    assert ask(gateway) == 200
    rows = gateway.rows()
    assert [row.outcome for row in rows] == ["complete"] * 3
    assert len({row.id for row in rows}) == 3


@pytest.mark.parametrize(("fault", "durability"), FAULTS.values(), ids=FAULTS)
def test_a_failing_disk_refuses_new_work_and_loses_no_bill(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Fault, durability: Durability
) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir, server={"durability": durability}) as (gateway, upstream):
        survive(data_dir, fault, gateway, upstream)
    logged = [record for record in caplog.records if record.name == "proxy.ledger.journal"]
    assert [record.levelno for record in logged] == [logging.ERROR, logging.WARNING]
    assert "new work is refused" in logged[0].getMessage()
    assert "new work is taken" in logged[1].getMessage()


def test_a_disk_that_is_really_full_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 4) as data_dir,
        ScriptedUpstream(lambda _: ended(ROLE, HELLO, STOP, USAGE, DONE)) as upstream,
        RunningGateway(simple_config(data_dir, upstream.base_url)) as gateway,
    ):
        assert ask(gateway) == 200
        with filled(data_dir):
            # The last block of the segment takes some more.
            while ask(gateway) == 200:
                assert len(upstream.requests) < 1_000
            assert readiness(gateway)[0] == 503
        wait_until(lambda: readiness(gateway) == (200, {"status": "ok"}), "the recovery")
        assert ask(gateway) == 200
        assert len([row for row in gateway.rows() if row.outcome == "complete"]) == len(upstream.requests)


def test_an_answer_that_ended_while_the_disk_failed_is_billed_though_it_failed_to_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir) as (gateway, upstream):
        gate = threading.Event()
        upstream.script([*begun(ROLE, HELLO), WaitFor(gate, 20.0), chunk(STOP), chunk(USAGE), chunk(DONE)])
        with gateway.client() as running:
            gateway.chat(running, question())
            running.read_head()
            with FULL(data_dir):
                gate.set()
                running.read_until(b"[DONE]")
                gateway.stop()
    saved = next(record.getMessage() for record in caplog.records if "recovered-1.journal" in record.getMessage())
    (data_dir / "journal" / "recovered-1.journal").write_text(saved.partition("\n")[2])
    with serving(data_dir) as (gateway, _):
        assert [row.outcome for row in gateway.rows()] == ["complete"]


def test_a_database_that_another_program_locks_disturbs_nothing_until_the_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_dir = tmp_path / "data"
    with ScriptedUpstream(lambda _: ended(ROLE, HELLO, STOP, USAGE, DONE)) as upstream:
        gateway = RunningGateway(simple_config(data_dir, upstream.base_url))
        gateway.gateway.ledger = Ledger(data_dir, max_unstored_bytes=20_000, interval=0.01)
        # It would refuse a little before the bound, were it to look just then.
        gateway.gateway.overload.backlog = Gauge(NEVER, NEVER, NEVER)
        with gateway:
            other = sqlite3.connect(data_dir / "ledger.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            assert ask(gateway) == 200
            wait_until(lambda: "warnings" in readiness(gateway)[1], "the warning")
            assert readiness(gateway)[0] == 200
            good = 1
            while ask(gateway) == 200:
                good += 1
            status, body = readiness(gateway)
            assert (status, "that is its bound" in str(body["reason"])) == (503, True)
            other.close()
            # Once all of it is stored: before, the next record may pass the bound again. A refusal that came as late
            # as the request's own record has a row of its own.
            assert [row.outcome for row in gateway.rows()].count("complete") == good
            wait_until(lambda: readiness(gateway) == (200, {"status": "ok"}), "the recovery")
            assert ask(gateway) == 200
            assert [row.outcome for row in gateway.rows()].count("complete") == good + 1 == len(upstream.requests)
    for part in ("journal", "ingest"):
        levels = [record.levelno for record in caplog.records if record.name == f"proxy.ledger.{part}"]
        # How often it crosses its bound depends on the machine; each crossing is logged once, in both directions.
        assert levels[0] == max(levels)
        assert levels[-1] == logging.WARNING
        assert len(levels) % 2 == 0


def test_a_database_that_is_removed_while_the_gateway_runs_is_made_anew_from_the_journal_by_the_next_start(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir) as (gateway, upstream):
        gateway.rows()
        for path in data_dir.glob("ledger.db*"):
            path.unlink()
        upstream.script(ended(ROLE, HELLO, STOP, USAGE, DONE))
        assert ask(gateway) == 200
        wait_until(lambda: "restart" in str(readiness(gateway)[1].get("warnings")), "the warning")
    with serving(data_dir) as (gateway, _):
        assert [row.outcome for row in gateway.rows()] == ["complete"]


def test_a_ledger_whose_pages_are_damaged_refuses_the_start_and_is_left_as_it_is(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir) as (gateway, upstream):
        upstream.script(ended(ROLE, HELLO, STOP, USAGE, DONE))
        assert ask(gateway) == 200
    ledger = data_dir / "ledger.db"
    # The schema can be read; everything behind it cannot.
    damaged = ledger.read_bytes()[:4096] + b"\xff" * (ledger.stat().st_size - 4096)
    ledger.write_bytes(damaged)
    with pytest.raises(StoreFailed, match=r"make a copy.*recover"), serving(data_dir):
        pass
    assert ledger.read_bytes() == damaged
