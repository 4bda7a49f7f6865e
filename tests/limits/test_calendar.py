"""The windows of budgets: months of every length, days of 23 and 25 hours, and the last tenth of a second of each."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ConfigFault
from proxy.limits.calendar import NEVER, Calendar, Window, duration_words, reset_words

WINDOWS = ("day", "week", "week:sun", "week:wed", "month", "month:15", "month:29", "month:30", "month:31", "year")
#: Zones whose clocks change at midnight, by half an hour, at 00:01, or that skipped a day.
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Beirut"),
    *("America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "Africa/Casablanca"),
)


def micro(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1_000_000)


def local(moment: int, zone: str) -> str:
    return f"{datetime.fromtimestamp(moment / 1_000_000, ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def test_a_day_begins_at_midnight_in_its_zone() -> None:
    window = Calendar("day", "Europe/Berlin").at(micro("2026-11-30T23:30", "UTC"))
    assert window == Window("2026-12-01", micro("2026-12-01", "Europe/Berlin"), micro("2026-12-02", "Europe/Berlin"))


def test_the_last_tenth_of_a_second_belongs_to_the_old_day() -> None:
    days = Calendar("day", "America/New_York")
    midnight = micro("2026-07-05", "America/New_York")
    assert days.at(midnight - 100_000).id == "2026-07-04"
    assert days.at(midnight - 1).id == "2026-07-04"
    assert days.at(midnight).id == "2026-07-05"


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_on_which_the_clock_changes_is_one_day(day: str, hours: int) -> None:
    window = Calendar("day", "Europe/Berlin").at(micro(f"{day}T12:00", "Europe/Berlin"))
    assert (window.id, window.end - window.start) == (day, hours * 3_600_000_000)


def test_a_day_without_midnight_begins_when_the_clock_is_put_forward() -> None:
    # 2018-11-04 in Sao Paulo: 00:00 was 01:00 at once.
    window = Calendar("day", "America/Sao_Paulo").at(micro("2018-11-04T12:00", "America/Sao_Paulo"))
    assert local(window.start, "America/Sao_Paulo") == "2018-11-04 01:00"
    assert window.end - window.start == 23 * 3_600_000_000


def test_a_clock_that_goes_back_over_midnight_counts_no_moment_twice() -> None:
    # 2010-11-07 in St John's: at 00:01 it was 23:01 of the day before again.
    days = Calendar("day", "America/St_Johns")
    midnight = days.at(micro("2010-11-07T12:00", "America/St_Johns")).start
    assert days.at(midnight + 600_000_000).id == "2010-11-07"
    assert local(midnight + 600_000_000, "America/St_Johns") == "2010-11-06 23:10"


@pytest.mark.parametrize(
    ("moment", "begin", "end"),
    [
        ("2026-02-10", "2026-01-31", "2026-02-28"),
        ("2026-02-28", "2026-02-28", "2026-03-31"),
        ("2028-02-29", "2028-02-29", "2028-03-31"),
        ("2028-02-28", "2028-01-31", "2028-02-29"),
        ("2026-04-30", "2026-04-30", "2026-05-31"),
        ("2026-12-31", "2026-12-31", "2027-01-31"),
        ("2027-01-01", "2026-12-31", "2027-01-31"),
    ],
)
def test_a_month_that_begins_on_the_31st_begins_on_the_last_day_of_shorter_ones(
    moment: str, begin: str, end: str
) -> None:
    window = Calendar("month:31", "UTC").at(micro(moment))
    assert (local(window.start, "UTC")[:10], local(window.end, "UTC")[:10]) == (begin, end)


def test_a_month_is_of_the_calendar_and_not_of_thirty_days() -> None:
    window = Calendar("month", "UTC").at(micro("2026-02-14"))
    assert (window.id, window.end - window.start) == ("2026-02", 28 * 86_400_000_000)


def test_a_week_begins_on_its_weekday() -> None:
    assert Calendar("week", "UTC").at(micro("2026-11-29T12:00")).id == "2026-11-23"
    assert Calendar("week:sun", "UTC").at(micro("2026-11-29T12:00")).id == "2026-11-29"


def test_a_year_and_all_time() -> None:
    assert Calendar("year", "UTC").at(micro("2026-12-31T23:59")).id == "2026"
    assert Calendar("total", "UTC").at(0) == Window("total", 0, NEVER)


@pytest.mark.parametrize("window", ["", "monthly", "month:0", "month:32", "week:monday", "day:1", "Day", "30d"])
def test_what_is_no_window_is_refused(window: str) -> None:
    with pytest.raises(ConfigFault, match="a window is day, week, week:sun"):
        Calendar(window, "UTC")


@pytest.mark.parametrize("zone", ["", "Berlin", "Europe/Nowhere", "../etc/passwd", "/etc/localtime"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(ConfigFault, match="IANA name"):
        Calendar("day", zone)


@given(
    st.sampled_from(WINDOWS),
    st.sampled_from(ZONES),
    st.integers(int(datetime(1990, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2037, 1, 1, tzinfo=UTC).timestamp())),
    st.integers(0, 999_999),
)
def test_windows_follow_each_other_without_gap_or_overlap(window: str, zone: str, second: int, micros: int) -> None:
    windows = Calendar(window, zone)
    moment = second * 1_000_000 + micros
    found = windows.at(moment)
    assert found.start <= moment < found.end
    assert windows.at(found.start) == found == windows.at(found.end - 1)
    after, before = windows.at(found.end), windows.at(found.start - 1)
    assert (after.start, before.end) == (found.end, found.start)
    assert len({before.id, found.id, after.id}) == 3


@given(st.sampled_from(ZONES), st.integers(600_000_000, 2_100_000_000))
def test_a_local_date_changes_its_window_only_at_its_midnight(zone: str, second: int) -> None:
    days = Calendar("day", zone)
    found = days.at(second * 1_000_000)
    day = datetime.fromtimestamp(second, ZoneInfo(zone)).date()
    # One day apart at most, and only in the hour that comes twice around midnight.
    assert abs(datetime.fromisoformat(found.id).date() - day) <= timedelta(days=1)


def test_words_for_a_reset() -> None:
    window = Calendar("month", "Europe/Berlin").at(micro("2026-11-30T20:00"))
    words = reset_words(window, "Europe/Berlin", micro("2026-11-30T19:40"))
    assert words == "at 2026-12-01 00:00 (Europe/Berlin), in 3 h 20 min"
    assert reset_words(Window("total", 0, NEVER), "UTC", 0) == "never"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "1 s"),
        (0, "1 s"),
        (59, "60 s"),
        (60, "1 min"),
        (61, "2 min"),
        (3600, "1 h"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
    ],
)
def test_words_for_a_duration(seconds: int, words: str) -> None:
    assert duration_words(seconds) == words
