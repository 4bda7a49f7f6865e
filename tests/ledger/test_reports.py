"""Usage from the rollups alone, and rows page by page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.errors import InvalidRequest
from proxy.ledger import reports as reports_module
from proxy.ledger import rollups, sqlite
from proxy.ledger.grouping import By, Grouping
from proxy.ledger.ledger import open_reports, prepare
from proxy.ledger.record import UsageRecord
from proxy.ledger.reports import Reports, UsageReport
from proxy.ledger.selection import Selection
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
            sums, view = (1,) * len(rollups.SUMS), rollups.view_of(("key",))
            writer.execute("BEGIN")
            writer.executemany(
                rollups.UPSERT,
                [
                    (view, 86_400, day * 86_400, f"key_{key}", *[""] * 6, *sums, packed, packed, packed)
                    for day in range(20_000, 20_100)
                    for key in range(40)
                ],
            )
            writer.execute("COMMIT")
            span = 20_010 * 86_400 + 3_600, 20_020 * 86_400 + 3_600
            source, bounds = Grouping(by="key").source(span, ("requests",), Selection())
            plan = writer.execute(
                f"EXPLAIN QUERY PLAN SELECT line, sum(requests) FROM {source} GROUP BY line", bounds
            ).fetchall()
        finally:
            writer.close()
        async with open_reports(tmp_path) as reports:
            report = await reports.usage(by="key")
            assert (report.totals.requests, len(report.lines)) == (4_000, 40)
        return [str(row[3]) for row in plan]

    plan = asyncio.run(run())
    reads = [step for step in plan if "rollups" in step or "requests" in step]
    assert reads == ["SEARCH rollups USING PRIMARY KEY (view=? AND grain=? AND start>? AND start<?)"] * 3


PAID = [
    final(1, key="key_a", team="team_1", org="org_1", session="s1", user="ann", endpoint="/v1/messages", cost=100),
    final(2, key="key_a", team="team_1", org="org_1", session="s1", user="bob", metadata='{"project":"x","n":"1"}'),
    final(3, key="key_b", team="team_2", org="org_1", session="s2", upstream="other", status=429, outcome="refused"),
    final(4, key="key_c", metadata='{"project":"y"}', upstream="other"),
]


def requests_by(report: UsageReport) -> dict[str, int]:
    return {line.group: line.requests for line in report.lines}


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ({"by": "team"}, {"": 1, "team_1": 2, "team_2": 1}),
        ({"by": "org"}, {"": 1, "org_1": 3}),
        ({"by": "endpoint"}, {"/v1/chat/completions": 3, "/v1/messages": 1}),
        ({"by": "upstream"}, {"openai": 2, "other": 2}),
        ({"by": "session"}, {"": 1, "s1": 2, "s2": 1}),
        ({"by": "user"}, {"": 2, "ann": 1, "bob": 1}),
        ({"by": "metadata", "metadata_key": "project"}, {"": 2, "x": 1, "y": 1}),
        ({"by": "metadata", "metadata_key": 'p" OR 1=1'}, {"": 4}),
        ({"by": "outcome"}, {"complete": 3, "refused": 1}),
    ],
)
def test_groups_of_those_who_pay(tmp_path: Path, options: dict[str, Any], groups: dict[str, int]) -> None:
    report = usage(tmp_path, *PAID, **options)
    assert requests_by(report) == groups
    assert (report.totals.requests, report.totals.errors) == (4, 1)
    assert report.totals.total.p50 == pytest.approx(900_000, rel=0.25)


@pytest.mark.parametrize(
    ("only", "groups"),
    [
        (Selection(teams=("team_1",)), {"key_a": 2}),
        (Selection(orgs=("org_1",), endpoints=("/v1/chat/completions",)), {"key_a": 1, "key_b": 1}),
        (Selection(upstreams=("other",)), {"key_b": 1, "key_c": 1}),
        (Selection(sessions=("s1",), users=("bob",)), {"key_a": 1}),
        (Selection(metadata=(("project", "x"), ("project", "y"))), {"key_a": 1, "key_c": 1}),
        (Selection(metadata=(("project", "x"), ("n", "2"))), {}),
        (Selection(statuses=("4xx",)), {"key_b": 1}),
        (Selection(statuses=("429", "200")), {"key_a": 2, "key_b": 1, "key_c": 1}),
        (Selection(statuses=("42",) * 0, outcomes=("refused",)), {"key_b": 1}),
        (Selection(tagged=("key_c",)), {"key_c": 1}),
        (Selection(tagged=()), {}),
    ],
)
def test_selections_of_those_who_pay(tmp_path: Path, only: Selection, groups: dict[str, int]) -> None:
    report = usage(tmp_path, *PAID, by="key", only=only)
    assert requests_by(report) == groups
    assert report.totals.requests == sum(groups.values())


def test_two_tags_of_a_key_are_two_lines_and_once_in_the_totals(tmp_path: Path) -> None:
    tags = {"key_a": ("web", "prod"), "key_b": ("prod",), "key_gone": ("web",)}
    report = usage(tmp_path, *PAID, by="tag", tags=tags, parts=4)
    assert requests_by(report) == {"": 1, "prod": 3, "web": 2}
    assert [sum(line.trend) for line in report.lines] == [1, 3, 2]
    assert (report.totals.requests, report.totals.cost) == (4, 330_000 * 3 + 100)
    assert report.totals.total.mean == 900_000
    # Half of the observations of the totals are below, as of each line: none is counted twice.
    assert report.totals.ttft.p50 == report.lines[1].ttft.p50
    paged = usage(tmp_path / "again", *PAID, by="tag", tags=tags, limit=1, cursor="prod")
    assert (requests_by(paged), paged.totals.requests) == ({"web": 2}, 4)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


NOON_UTC = "2027-01-04T21:00+09:00"


@pytest.mark.parametrize(
    ("by", "zone", "groups"),
    [
        ("week", "UTC", {"2026-W53": 2, "2027-W01": 1}),
        ("week", "Europe/Berlin", {"2026-W53": 1, "2027-W01": 2}),
        ("month", "UTC", {"2026-12": 1, "2027-01": 2}),
        ("month", "America/Los_Angeles", {"2026-12": 1, "2027-01": 2}),
        ("day", "Europe/Berlin", {"2026-12-31": 1, "2027-01-04": 2}),
        (
            "hour",
            "Europe/Berlin",
            {"2026-12-31T13:00+01:00": 1, "2027-01-04T00:00+01:00": 1, "2027-01-04T13:00+01:00": 1},
        ),
    ],
)
def test_periods_of_a_time_zone(tmp_path: Path, by: By, zone: str, groups: dict[str, int]) -> None:
    times = ("2026-12-31T12:00Z", "2027-01-03T23:30Z", "2027-01-04T12:00Z")
    rows = [final(number, started=at(time)) for number, time in enumerate(times)]
    report = usage(tmp_path, *rows, by=by, zone=zone)
    assert (requests_by(report), report.zone) == (groups, zone)
    page = usage(tmp_path / "page", *rows, by=by, zone=zone, limit=1)
    rest = usage(tmp_path / "rest", *rows, by=by, zone=zone, cursor=page.cursor)
    assert {**requests_by(page), **requests_by(rest)} == groups


@pytest.mark.parametrize("by", ["day", "session"])
def test_margin_is_of_requests_for_which_price_and_cost_are_known(tmp_path: Path, by: By) -> None:
    rows = [
        final(1, cost=1_000, target_cost=400),
        final(2, cost=1_000, target_cost=1_500),
        final(3, cost=5_000),
        final(4, cost=None, target_cost=7),
        # Sent to no upstream: it cost nothing.
        final(5, cost=0, upstream="", outcome="refused", status=403),
    ]
    totals = usage(tmp_path, *rows, by=by).totals
    assert (totals.cost, totals.unpriced) == (7_000, 1)
    assert (totals.target_cost, totals.uncosted, totals.margin) == (1_907, 1, 600 - 500)


@pytest.mark.parametrize("by", ["model", "session"])
def test_an_attempt_that_lost_a_race_costs_and_is_no_request(tmp_path: Path, by: By) -> None:
    rows = [final(1), final(2, outcome="hedge_lost", status=0, ttft=None, total=9_000_000, cost=40, overhead=7)]
    totals = usage(tmp_path, *rows, by=by).totals
    assert (totals.requests, totals.errors, totals.cost, totals.input_tokens) == (1, 0, 330_040, 200)
    assert (totals.total.mean, totals.overhead.mean, totals.ttft.mean) == (900_000, 300, 200_000)
    assert totals.total.p99 == pytest.approx(900_000, rel=0.25)


@pytest.mark.parametrize(
    ("options", "trend"),
    [
        ({"by": "week"}, (14, 24, 22, 0, 0, 0, 0)),
        ({"by": "model", "parts": 3}, (14, 24, 22)),
        # From 10:00 on the 20th to the end of the 22nd are 62 hours.
        ({"by": "model", "parts": 2, "since": MORNING + timedelta(hours=10)}, (31, 29)),
        ({"by": "session", "parts": 3}, (20, 20, 20)),
    ],
)
def test_a_trend_is_of_the_time_or_of_the_period(
    tmp_path: Path, options: dict[str, Any], trend: tuple[int, ...]
) -> None:
    spread = [msgspec.structs.replace(row, alias="one") for row in SPREAD]
    if options["by"] == "week":
        # 20 November 2026 is a Friday.
        trend, options = (0, 0, 0, 0, 14, 24, 22), {**options, "parts": 1}
    (line,) = usage(tmp_path, *spread, **options).lines
    assert line.trend == trend


def test_a_report_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with reporting(tmp_path, *SPREAD) as reports:
            with pytest.raises(InvalidRequest, match="choose a shorter time"):
                await reports.usage(by="session", timeout=0.0)
        async with open_reports(tmp_path) as reports:
            assert (await reports.usage(by="session", timeout=60.0)).totals.requests == 60

    asyncio.run(run())


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
