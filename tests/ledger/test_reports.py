"""Usage from the rollups alone, and rows page by page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import InvalidRequest
from proxy.ledger import reports as reports_module
from proxy.ledger import rollups, sqlite
from proxy.ledger.ledger import open_reports, prepare
from proxy.ledger.record import UsageRecord
from proxy.ledger.reports import By, Reports, UsageReport
from tests.ledger.samples import STARTED, final, lines, opened, request_id, segment

HOUR = 3_600_000_000
MORNING = datetime(2026, 11, 20, tzinfo=UTC)


@asynccontextmanager
async def reporting(data_dir: Path, *finals: UsageRecord) -> AsyncIterator[Reports]:
    prepare(data_dir)
    segment(data_dir / "journal", lines(*finals))
    async with open_reports(data_dir) as reports:
        yield reports


def usage(data_dir: Path, *finals: UsageRecord, by: By = "model", **options: Any) -> UsageReport:
    async def run() -> UsageReport:
        async with reporting(data_dir, *finals) as reports:
            return await reports.usage(by=by, **options)

    return asyncio.run(run())


SPREAD = [
    final(number, started=STARTED + number * HOUR, key=f"key_{number % 3}", alias=f"alias-{number % 2}", cost=number)
    for number in range(60)
]


def test_sums_and_percentiles(tmp_path: Path) -> None:
    report = usage(
        tmp_path,
        *[final(number, ttft=100_000, cost=7) for number in range(98)],
        *[final(number, ttft=10_000_000, cost=7) for number in (98, 99)],
        final(100, cost=None, usage_source="estimated", status=500, ttft=None),
    )
    line = report.lines[0]
    assert (line.group, line.requests, line.errors, line.unpriced, line.estimated) == ("prometheus-core", 101, 1, 1, 1)
    assert (line.input_tokens, line.output_tokens, line.cost) == (10_100, 5_050, 700)
    assert line.ttft.mean == (98 * 100_000 + 2 * 10_000_000) // 100
    assert line.ttft.p50 == pytest.approx(100_000, rel=0.25)
    assert line.ttft.p99 == pytest.approx(10_000_000, rel=0.25)
    assert line.total.mean == 900_000
    assert line.overhead.p50 == pytest.approx(300, rel=0.25)
    assert (report.totals.requests, report.totals.cost, report.totals.ttft) == (101, 700, line.ttft)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("key", {"key_0": 20, "key_1": 20, "key_2": 20}),
        ("model", {"alias-0": 30, "alias-1": 30}),
        ("day", {"2026-11-20": 14, "2026-11-21": 24, "2026-11-22": 22}),
    ],
)
def test_groups(tmp_path: Path, by: By, groups: dict[str, int]) -> None:
    assert {line.group: line.requests for line in usage(tmp_path, *SPREAD, by=by).lines} == groups


def test_hours_are_named_in_utc(tmp_path: Path) -> None:
    lines_ = usage(tmp_path, *SPREAD, by="hour").lines
    assert (len(lines_), lines_[0].group, lines_[-1].group) == (60, "2026-11-20T10:00Z", "2026-11-22T21:00Z")


@pytest.mark.parametrize("by", ["key", "model", "day", "hour"])
@pytest.mark.parametrize(
    ("since", "until"), [(0, 72), (11, 12), (12, 36), (24, 48), (20, 49), (0, 24), (48, 60), (30, 30), (11, 71)]
)
def test_a_span_counts_each_request_once(tmp_path: Path, by: By, since: int, until: int) -> None:
    start, end = MORNING + timedelta(hours=since), MORNING + timedelta(hours=until)
    expected = [row for row in SPREAD if start <= datetime.fromtimestamp(row.started // HOUR * 3_600, UTC) < end]
    report = usage(tmp_path, *SPREAD, by=by, since=start, until=end)
    assert report.totals.requests == sum(line.requests for line in report.lines) == len(expected)
    assert report.totals.cost == sum(row.cost or 0 for row in expected)


def test_a_span_is_rounded_outwards_to_hours(tmp_path: Path) -> None:
    report = usage(
        tmp_path,
        *SPREAD,
        since=datetime(2026, 11, 20, 11, 59, 59, tzinfo=UTC),
        until=datetime(2026, 11, 20, 12, 0, 1, tzinfo=UTC),
    )
    assert report.totals.requests == 2


@pytest.mark.parametrize(("by", "limit"), [("key", 1), ("key", 2), ("model", 1), ("day", 2), ("hour", 7)])
def test_pages_join_to_the_whole(tmp_path: Path, by: By, limit: int) -> None:
    async def run() -> None:
        async with reporting(tmp_path, *SPREAD) as reports:
            whole = await reports.usage(by=by)
            found, cursor = [], None
            while True:
                page = await reports.usage(by=by, limit=limit, cursor=cursor)
                assert len(page.lines) <= limit
                assert page.totals == whole.totals
                found += page.lines
                if (cursor := page.cursor) is None:
                    break
            assert found == whole.lines

    asyncio.run(run())


def test_an_empty_ledger_has_an_empty_report(tmp_path: Path) -> None:
    report = usage(tmp_path)
    assert (report.lines, report.cursor) == ([], None)
    assert (report.totals.requests, report.totals.cost, report.totals.ttft.p50) == (0, 0, None)


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": 1_001}, {"by": "day", "cursor": "x"}, {"since": datetime(2026, 1, 1)}]
)
def test_calls_that_mean_nothing_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        usage(tmp_path, **options)


def test_usage_searches_the_rollups_by_their_key_and_never_reads_rows(tmp_path: Path) -> None:
    async def run() -> list[str]:
        prepare(tmp_path)
        async with open_reports(tmp_path):
            pass
        writer = sqlite.open_writer(tmp_path / "ledger.db", "process")
        try:
            packed = rollups.pack(rollups.observation(200_000))
            sums = (1,) * len(rollups.SUMS)
            writer.execute("BEGIN")
            writer.create_function("merge_histograms", 2, rollups.merge_packed, deterministic=True)
            writer.executemany(
                rollups.UPSERT,
                [
                    (86_400, day * 86_400, f"key_{key}", "core", *sums, packed, packed, packed)
                    for day in range(20_000, 20_100)
                    for key in range(40)
                ],
            )
            writer.execute("COMMIT")
            source, bounds = reports_module._source(
                "key", 20_010 * 86_400 + 3_600, 20_020 * 86_400 + 3_600, ("requests",)
            )
            plan = writer.execute(
                f"EXPLAIN QUERY PLAN SELECT key, sum(requests) FROM {source} GROUP BY key", bounds
            ).fetchall()
        finally:
            writer.close()
        async with open_reports(tmp_path) as reports:
            report = await reports.usage(by="key")
            assert (report.totals.requests, len(report.lines)) == (4_000, 40)
        return [str(row[3]) for row in plan]

    plan = asyncio.run(run())
    reads = [step for step in plan if "rollups" in step or "requests" in step]
    assert reads == ["SEARCH rollups USING PRIMARY KEY (grain=? AND start>? AND start<?)"] * 3


def test_export_gives_every_row_in_order_over_many_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "PAGE", 3)
    # Many rows of one moment: the id decides.
    rows = [final(number, started=STARTED + number // 5) for number in range(20)]

    async def run() -> None:
        async with reporting(tmp_path, *reversed(rows)) as reports:
            assert [row async for row in reports.export()] == rows
            since = datetime.fromtimestamp(STARTED // 1_000_000, UTC) + timedelta(microseconds=1)
            some = reports.export(since=since, until=since + timedelta(microseconds=2))
            assert [row async for row in some] == rows[5:15]

    asyncio.run(run())


def test_the_estimator_learns_spoken_tokens_of_complete_reported_rows(tmp_path: Path) -> None:
    rows = [
        final(1, output_tokens=50, reasoning_tokens=20),
        final(2, usage_source="estimated"),
        final(3, outcome="client_closed"),
    ]

    async def run() -> None:
        async with reporting(tmp_path, *rows) as reports:
            assert await reports.reported(10) == [("key_aaaaaaaaaaaa", "prometheus-core", 400, 100, 200, 30)]
            assert await reports.reported(2) == []

    asyncio.run(run())


def test_offsets_of_segments(tmp_path: Path) -> None:
    async def run() -> None:
        prepare(tmp_path)
        path = segment(tmp_path / "journal", lines(opened(1), final(1)))
        size = path.stat().st_size
        async with open_reports(tmp_path) as reports:
            assert await reports.offsets([path.name, "other"]) == {path.name: size}
            assert [row.id async for row in reports.export()] == [request_id(1)]

    asyncio.run(run())
