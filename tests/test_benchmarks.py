"""That the benchmark harness still runs: its upstream and its load generator against each other, and its arithmetic.

No figure is asserted here but counts: speed belongs to `make bench`.
"""

import asyncio
import contextlib
import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import fastest
from benchmarks.budget import BUDGET, Row
from benchmarks.figures import curve, interval, paired_difference, paired_ratio, percentile
from benchmarks.guard import judge, verdict_table
from benchmarks.picture import distribution
from benchmarks.plan import Load
from benchmarks.report import table
from benchmarks.runner import Run
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.base import Scenario
from benchmarks.store import full_store
from benchmarks.summary import Line, summarise

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def upstream_port() -> Iterator[int]:
    """A running fake upstream."""
    command = [sys.executable, "-m", "benchmarks.upstream"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


def run_load(port: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.load", f"--port={port}", "--seconds=0.2", "--warmup=5", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)


def result_of(port: int, *options: str) -> dict[str, Any]:
    done = run_load(port, *options)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("model", ["bench-first", "bench-each-3", "bench-burst-3"])
def test_the_closed_loop_gets_every_event_of_a_stream(upstream_port: int, model: str) -> None:
    result = result_of(upstream_port, f"--model={model}", "--stream", "--events=3", "--connections=4")
    assert result["completed"] > 4
    assert result["events"] == 3 * result["completed"]
    assert (result["errors"], result["lost_events"], result["reconnects"]) == ({}, 0, 0)


@pytest.mark.parametrize("options", [["--model=bench-json"], ["--model=bench-embedding-5000", "--path=/v1/embeddings"]])
def test_a_json_answer_counts_as_one_event(upstream_port: int, options: list[str]) -> None:
    result = result_of(upstream_port, *options)
    assert result["events"] == result["completed"] > 1
    assert result["errors"] == {}


@pytest.mark.parametrize("size", [65_000, 65_600, 1_000_000])
def test_the_upstream_answers_large_bodies_as_small_ones(upstream_port: int, size: int) -> None:
    result = result_of(upstream_port, "--model=bench-first", "--stream", "--events=3", f"--body-bytes={size}")
    assert result["completed"] > 1
    assert (result["errors"], result["lost_events"]) == ({}, 0)


def test_the_upstream_finds_what_a_large_body_asks_for_however_it_is_cut(upstream_port: int) -> None:
    text = "x" * 200_000
    fields = {"model": "bench-first", "messages": [text], "stream": True, "stream_options": {"include_usage": True}}
    body = json.dumps(fields).encode()
    for cut in (10, 300, 65_530, 65_540, len(body) - 300, len(body) - 5):
        with socket.create_connection(("127.0.0.1", upstream_port), 5) as client:
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body))
            client.sendall(body[:cut])
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(body[cut:])
            answer = b""
            while not answer.endswith(b"0\r\n\r\n"):
                answer += client.recv(65_536) or pytest.fail(f"cut at {cut}: {answer[:200]!r}")
        assert b'"completion_tokens":3' in answer


def test_the_open_loop_starts_what_its_schedule_says_and_keeps_the_gaps(upstream_port: int) -> None:
    result = result_of(
        upstream_port,
        *("--model=bench-paced-5-10", "--stream", "--events=5", "--interval-ms=10"),
        *("--connections=20", "--rate=200", "--requests=20"),
    )
    assert (result["completed"], result["events"], result["lost_events"]) == (20, 100, 0)
    assert result["gap_us"]["count"] > 0


def test_an_open_loop_with_too_few_connections_still_ends_each_request(upstream_port: int) -> None:
    result = result_of(
        upstream_port,
        *("--model=bench-paced-2-10", "--stream", "--events=2", "--connections=1", "--rate=1000", "--requests=10"),
    )
    assert result["completed"] == 10


def test_the_requests_of_a_burst_are_all_meant_to_start_at_once() -> None:
    load = Load(port=1, model="bench-first", connections=2, rate=100.0, burst=2)
    assert [load.offset(number) // 1_000_000 for number in range(5)] == [0, 0, 20, 20, 40]


def test_a_burst_is_sent_whole(upstream_port: int) -> None:
    options = ["--model=bench-first", "--stream", "--events=3", "--connections=10", "--rate=100", "--burst=10"]
    result = result_of(upstream_port, *options)
    assert (result["completed"], result["lost_events"]) == (20, 0)


def test_a_connection_is_replaced_after_its_requests(upstream_port: int) -> None:
    result = result_of(
        upstream_port, "--model=bench-first", "--stream", "--events=3", "--per-connection=2", "--requests=9"
    )
    assert (result["completed"], result["errors"]) == (9, {})
    assert result["reused_ttft_us"]["count"] > 0
    assert result["reconnects"] >= 4


def test_connections_beyond_those_of_the_warm_up_are_open_and_unused(upstream_port: int) -> None:
    result = result_of(
        upstream_port,
        *("--model=bench-first", "--stream", "--events=3", "--connections=5", "--warm-connections=1"),
        *("--rate=1000", "--burst=5", "--requests=5"),
    )
    # All but the one that has warmed up carry their first request.
    assert (result["completed"], result["reused_ttft_us"]["count"]) == (5, 1)


def test_events_that_do_not_come_are_an_error(upstream_port: int) -> None:
    done = run_load(upstream_port, "--model=bench-first", "--stream", "--events=4")
    assert done.returncode == 1
    assert "events were lost" in done.stderr


def test_events_that_a_proxy_has_joined_count_each() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n~1 ~2 ~3 ")
        writer.close()

    async def scene() -> dict[str, Any]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(result_of, port, "--model=any", "--stream", "--events=3")

    result = asyncio.run(scene())
    assert result["events"] == 3 * result["completed"]
    assert result["lost_events"] == 0


def test_an_answer_of_another_status_is_an_error(upstream_port: int) -> None:
    done = run_load(upstream_port, "--model=no-such-script")
    assert done.returncode == 1
    assert "status 404" in done.stderr


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2.0), (0.51, 3.0), (0.99, 4.0), (1.0, 4.0), (0.0, 1.0)])
def test_a_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([1, 2, 3, 4], share) == expected


def test_a_percentile_of_nothing_is_zero() -> None:
    assert percentile([], 0.5) == 0.0


def test_differences_are_paired_by_round() -> None:
    assert paired_difference([11.0, 22.0, 93.0], [1.0, 2.0, 3.0])[0] == 20.0


def test_a_ratio_over_nothing_is_none() -> None:
    assert paired_ratio([1.0, 2.0], [0.0, 0.0]) is None


def test_an_interval_is_the_same_each_time_and_holds_its_figure() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    figure, (low, high) = paired_ratio(values, [1.0] * 5) or (0.0, (0.0, 0.0))
    assert low < figure < high
    assert paired_ratio(values, [1.0] * 5) == (figure, (low, high))


def test_rounds_that_agree_have_an_interval_without_width() -> None:
    assert interval(4, lambda chosen: 7.0) == (7.0, 7.0)


def test_a_curve_is_the_percentiles_from_the_first_to_the_last() -> None:
    drawn = curve([number * 1000 for number in range(1, 1001)])
    assert (len(drawn), drawn[0], drawn[50], drawn[100]) == (101, 1.0, 500.0, 1000.0)


def measured(system: str, number: int, ttft: float, **fields: Any) -> Run:
    """A run that says nothing but its time to first token, and what is given."""
    times = {"p50": ttft, "p99": ttft * 2}
    load = {
        **dict.fromkeys(("ttft_us", "reused_ttft_us", "total_us", "gap_us"), times),
        **{"ttft_curve_us": [ttft] * 101, "per_second": 1e6 / ttft, "errors": {}, "lost_events": 0, "late_events": 0},
    }
    nothing = {"upstream_cpu_us": 1.0, "load_cpu_us": 1.0, "busy": 0.1, "others": 0.0, "rig_busy": 0.1}
    whole: dict[str, Any] = {"cpu_us": ttft / 2, "resident_bytes": 1, **nothing, **fields}
    return Run(system=system, round=number, load=load, **whole)


STREAM_1 = Scenario(name="stream-1", about="a scenario", script="bench-first", unit="stream", isolated=True)


def lines_of(gateway: float, **failures: str) -> list[Line]:
    """Three rounds in which nginx adds 100 µs and the gateway what is given."""
    runs = [
        measured(system, number, ttft)
        for number in range(3)
        for system, ttft in (("direct", 30.0), ("nginx", 130.0), ("gateway", 30.0 + gateway))
    ]
    return summarise(STREAM_1, runs, failures)


def test_what_a_system_adds_is_compared_to_what_the_reference_adds() -> None:
    gateway = lines_of(150.0)[2]
    assert gateway.added_p50 == (150.0, (150.0, 150.0))
    assert gateway.added_p50_ratio == (1.5, (1.5, 1.5))


def test_a_system_that_cannot_be_measured_is_a_row_with_its_reason() -> None:
    lines = lines_of(150.0, envoy="not installed")
    assert table(STREAM_1, lines).splitlines()[-1] == "envoy  not measured: not installed"


BUDGET_ROW = Row("added", "stream-1", "added_p50_ratio", 1.8, 1.25, "x nginx")


@pytest.mark.parametrize(("added", "kept", "aimed"), [(120.0, True, True), (170.0, True, False), (190.0, False, False)])
def test_the_budget_is_broken_beyond_what_must_be_and_not_before(added: float, kept: bool, aimed: bool) -> None:
    (verdict,) = judge({"stream-1": lines_of(added)}, {}, [BUDGET_ROW])
    assert (verdict.kept, verdict.aimed) == (kept, aimed)


def test_what_the_reference_adds_counts_as_a_tenth_of_the_direct_time_at_least() -> None:
    runs = [measured("direct", 0, 5000.0), measured("nginx", 0, 4900.0), measured("gateway", 0, 5750.0)]
    (verdict,) = judge({"stream-1": summarise(STREAM_1, runs, {})}, {}, [BUDGET_ROW])
    assert verdict.value == pytest.approx(1.5)


def test_a_row_without_a_figure_breaks_the_budget() -> None:
    (verdict,) = judge({}, {}, [BUDGET_ROW])
    assert not verdict.kept
    assert "none" in verdict_table([verdict])


def test_a_row_about_a_peer_that_was_not_measured_is_left_out() -> None:
    row = Row("against it", "stream-1", "added_p50_to_litellm", 0.05, 0.02, "x it", needs=("litellm",))
    assert judge({"stream-1": lines_of(150.0, litellm="not installed")}, {}, [row]) == []


def test_a_row_with_a_floor_is_broken_below_it() -> None:
    row = Row("rate", "stream-1", "rate_to_litellm", 40.0, 80.0, "x it", floor=True, needs=("litellm",))
    runs = [measured("gateway", 0, 100.0), measured("litellm", 0, 3900.0)]
    (verdict,) = judge({"stream-1": summarise(STREAM_1, runs, {})}, {}, [row])
    assert verdict.value == pytest.approx(39.0)
    assert not verdict.kept


def test_a_full_store_is_held_against_the_gateway_with_an_empty_one() -> None:
    row = Row("full", "full-store", "added_p50_growth", 10.0, 3.0, "%", "gateway-full")
    runs = [measured("direct", 0, 30.0), measured("gateway", 0, 130.0), measured("gateway-full", 0, 145.0)]
    (verdict,) = judge({"full-store": summarise(STREAM_1, runs, {})}, {}, [row])
    assert verdict.value == pytest.approx(15.0)
    assert not verdict.kept


def test_the_cost_of_the_policies_is_held_against_the_gateway_without_them() -> None:
    row = Row("policies", "policies-json", "cpu_growth", 15.0, 8.0, "%", "gateway-policies")
    runs = [measured("gateway", 0, 130.0, cpu_us=100.0), measured("gateway-policies", 0, 130.0, cpu_us=120.0)]
    (verdict,) = judge({"policies-json": summarise(STREAM_1, runs, {})}, {}, [row])
    assert verdict.value == pytest.approx(20.0)
    assert not verdict.kept


def test_what_starts_is_held_against_its_seconds() -> None:
    row = Row("help", "cold-start", "seconds", 0.2, 0.1, "s", "help")
    assert [judge({}, {"help": seconds}, [row])[0].kept for seconds in (0.15, 0.25)] == [True, False]


def test_every_row_of_the_budget_is_about_a_scenario_that_there_is() -> None:
    assert {row.scenario for row in BUDGET} <= {scenario.name for scenario in SCENARIOS}


def test_scenarios_have_names_of_their_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)


def test_a_picture_has_a_curve_for_each_system_and_is_well_formed() -> None:
    picture = distribution("a <title>", {"nginx": [float(one) for one in range(101)], "none": []})
    drawing = ElementTree.fromstring(picture)
    assert len(drawing.findall("{http://www.w3.org/2000/svg}polyline")) == 1


def test_a_full_store_has_the_keys_and_rows_that_were_asked_for(tmp_path: Path) -> None:
    folder = full_store(7, 120, tmp_path)
    counts = []
    for name, query in [("keys.db", "SELECT count(*) FROM secrets"), ("ledger.db", "SELECT count(*) FROM requests")]:
        with contextlib.closing(sqlite3.connect(folder / name)) as connection:
            counts.append(connection.execute(query).fetchone()[0])
    assert counts == [7, 120]


def test_a_full_store_is_made_once(tmp_path: Path) -> None:
    first = full_store(2, 10, tmp_path)
    (first / "mark").touch()
    assert (full_store(2, 10, tmp_path) / "mark").exists()


def test_the_benchmark_of_routing_says_where_each_request_went() -> None:
    first, second = fastest.run(connections=1, requests=6, strategy="order")
    assert (first.places, second.places) == ("0" * 6, "0" * 6)
    assert first.settled_after("0", run=3) == 0
    assert first.settled_after("1", run=3) == 6
