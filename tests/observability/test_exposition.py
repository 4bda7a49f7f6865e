"""The exposition: exact numbers, safe labels, and two formats that their own readers take."""

import math
import shutil
import subprocess

import pytest

from proxy.observability.exposition import decimal, number, render, wants_openmetrics
from proxy.observability.metrics import Metrics


def sample() -> Metrics:
    metrics = Metrics()
    metrics.counter("a_usd_total", 'Dollars "and"\nmore\\.', "alias", scale=10**9).add(1_234_500_000, 'q"u\\o\nte')
    histogram = metrics.histogram("b_seconds", "Time.", "alias", bounds=(0.1, 1.0))
    for seconds in (0.05, 0.5, 5.0):
        histogram.observe(seconds, "x")
    metrics.gauge("c", "A gauge.", lambda: {("t1",): 1.0, ("t2",): 0.25}, "upstream")
    return metrics


def lines(openmetrics: bool) -> list[str]:
    return [
        one for one in render(sample().read()(), openmetrics).decode().splitlines() if "prometheus_gateway" not in one
    ]


def test_the_text_format() -> None:
    assert lines(False) == [
        '# HELP a_usd_total Dollars "and"\\nmore\\\\.',
        "# TYPE a_usd_total counter",
        'a_usd_total{alias="q\\"u\\\\o\\nte"} 1.2345',
        "# HELP b_seconds Time.",
        "# TYPE b_seconds histogram",
        'b_seconds_bucket{alias="x",le="0.1"} 1',
        'b_seconds_bucket{alias="x",le="1.0"} 2',
        'b_seconds_bucket{alias="x",le="+Inf"} 3',
        'b_seconds_sum{alias="x"} 5.55',
        'b_seconds_count{alias="x"} 3',
        "# HELP c A gauge.",
        "# TYPE c gauge",
        'c{upstream="t1"} 1.0',
        'c{upstream="t2"} 0.25',
    ]


def test_openmetrics_names_counters_without_total_and_has_an_end() -> None:
    found = lines(True)
    assert found[:3] == [
        '# HELP a_usd Dollars \\"and\\"\\nmore\\\\.',
        "# TYPE a_usd counter",
        'a_usd_total{alias="q\\"u\\\\o\\nte"} 1.2345',
    ]
    assert found[-1] == "# EOF"
    assert render(sample().read()(), True).endswith(b"# EOF\n")


def test_series_that_look_the_same_are_added_up() -> None:
    metrics = Metrics()
    counter = metrics.counter("a_total", "A.", "upstream")
    counter.add(1, "one")
    counter.add(2, "two")
    text = render(metrics.read()(), False, lambda label, value: "t" if label == "upstream" else value).decode()
    assert 'a_total{upstream="t"} 3\n' in text


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (0, 10**9, "0"),
        (1, 10**9, "0.000000001"),
        (10**9, 10**9, "1"),
        (2**62, 10**9, "4611686018.427387904"),
        (1500, 1000, "1.5"),
        (7, 1, "7"),
        (2**62, 1, str(2**62)),
    ],
)
def test_money_is_exact(value: int, scale: int, text: str) -> None:
    assert decimal(value, scale) == text


def test_numbers_that_are_none_are_written_as_both_formats_have_them() -> None:
    assert [number(one) for one in (math.inf, -math.inf, math.nan, 1, 1e22)] == ["+Inf", "-Inf", "NaN", "1.0", "1e+22"]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        # As Prometheus 2.42 sends it, and one that prefers text.
        ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;"
         "version=0.0.4;q=0.5,*/*;q=0.1", True),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
    ],
)  # fmt: skip
def test_the_format_is_the_one_that_is_accepted(accept: str, wanted: bool) -> None:
    assert wants_openmetrics(accept) is wanted


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_reads_odd_labels() -> None:
    text = render([one for one in sample().read()() if one.family.name != "c"], False)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert b"error while linting" not in done.stderr
