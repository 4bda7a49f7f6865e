"""When hours, days, weeks and months begin, with the days on which clocks are changed."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from proxy.errors import InvalidRequest
from proxy.ledger import periods
from proxy.ledger.periods import Unit

BERLIN = ZoneInfo("Europe/Berlin")


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("unit", "moment", "start", "name"),
    [
        ("day", "2026-03-29T12:00+02:00", "2026-03-29T00:00+01:00", "2026-03-29"),
        ("day", "2026-10-25T23:59+01:00", "2026-10-25T00:00+02:00", "2026-10-25"),
        ("week", "2026-03-29T23:59+02:00", "2026-03-23T00:00+01:00", "2026-W13"),
        ("week", "2027-01-01T00:00+01:00", "2026-12-28T00:00+01:00", "2026-W53"),
        ("month", "2026-10-31T23:59+01:00", "2026-10-01T00:00+02:00", "2026-10"),
        ("month", "2024-02-29T23:59+01:00", "2024-02-01T00:00+01:00", "2024-02"),
        ("hour", "2026-10-25T02:30+01:00", "2026-10-25T02:00+01:00", "2026-10-25T02:00+01:00"),
    ],
)
def test_a_period_begins_and_is_called(unit: Unit, moment: str, start: str, name: str) -> None:
    found = periods.start_of(unit, seconds(moment), BERLIN)
    assert found == seconds(start)
    assert periods.name_of(unit, found, BERLIN) == name
    assert periods.start_named(unit, name, BERLIN) == found


def test_an_unknown_zone_is_refused_with_a_good_one() -> None:
    with pytest.raises(InvalidRequest, match="Europe/Berlin"):
        periods.zone_of("Berlin")
