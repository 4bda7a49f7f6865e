"""Times as people type them."""

import time
from datetime import UTC, datetime, timedelta

import click
import pytest

from proxy.cli.time_options import future, past, span

CONTEXT = click.Context(click.Command("test"))
PARAMETER = click.Option(["--time"])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T02:03:04", datetime(2026, 11, 1, 2, 3, 4, tzinfo=UTC)),
        ("2026-11-01T02:00:00Z", datetime(2026, 11, 1, 2, tzinfo=UTC)),
        ("2026-11-01T02:00:00+02:00", datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_dates_and_timestamps_are_utc_where_no_zone_is_said(text: str, moment: datetime) -> None:
    assert past(CONTEXT, PARAMETER, text) == moment


def test_the_zone_of_the_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        moment = past(CONTEXT, PARAMETER, "2026-11-01")
    time.tzset()
    assert moment == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(("text", "hours"), [("24h", 24), ("7d", 168), ("2w", 336), ("60m", 1), ("3600s", 1)])
def test_a_span_lies_back_from_now_or_ahead_of_it(text: str, hours: int) -> None:
    before = datetime.now(UTC)
    back, ahead = past(CONTEXT, PARAMETER, text), future(CONTEXT, PARAMETER, text)
    after = datetime.now(UTC)
    length = timedelta(hours=hours)
    assert back is not None
    assert ahead is not None
    assert before - length <= back <= after - length
    assert before + length <= ahead <= after + length


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7x", "-7d", "2026-13-01", "999999w"])
def test_other_text_is_a_wrong_use(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write a span such as 24h"):
        past(CONTEXT, PARAMETER, text)


def test_an_end_in_the_past_is_a_wrong_use() -> None:
    with pytest.raises(click.BadParameter, match="in the past"):
        future(CONTEXT, PARAMETER, "2020-01-01")


def test_nothing_said_is_no_moment() -> None:
    assert past(CONTEXT, PARAMETER, None) is None


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("90s", 90), ("24h", 86_400)])
def test_spans(text: str, seconds: int) -> None:
    assert span(CONTEXT, PARAMETER, text) == timedelta(seconds=seconds)


def test_a_wrong_span_is_a_wrong_use() -> None:
    with pytest.raises(click.BadParameter, match="no span of time"):
        span(CONTEXT, PARAMETER, "soon")
