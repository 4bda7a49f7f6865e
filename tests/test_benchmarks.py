"""That the benchmark harness still runs: its upstream and its load generator against each other, and its arithmetic.

No figure is asserted here but counts: speed belongs to `make bench`.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import interval, paired_difference, paired_ratio, percentile

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
