"""Hours, days, ISO weeks and months of a time zone: when each begins, and what it is called. Values only."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

from proxy.errors import InvalidRequest

Unit = Literal["hour", "day", "week", "month"]
UNITS: tuple[Unit, ...] = ("hour", "day", "week", "month")
HOUR = 3_600
DAY = 86_400
#: Monday, 5 January 1970: seconds since 1970 at which the first whole ISO week begins.
_FIRST_MONDAY = 4 * DAY
_FORMATS: dict[Unit, str] = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
#: SQL for the beginning of a period of UTC, from `start`, which is that of an hour or a day.
SQL_IN_UTC: dict[Unit, str] = {
    "hour": "start",
    "day": f"start - start % {DAY}",
    "week": f"start - (start - {_FIRST_MONDAY}) % {7 * DAY}",
    "month": "CAST(strftime('%s', start, 'unixepoch', 'start of month') AS INTEGER)",
}
#: Seconds of the parts into which a period is divided for a trend, and how many there are at most.
PARTS: dict[Unit, tuple[int, int]] = {"hour": (HOUR, 1), "day": (HOUR, 24), "week": (DAY, 7), "month": (DAY, 31)}


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name. Raises InvalidRequest for one that is not known."""
    if name in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise InvalidRequest(
            f"there is no time zone {name!r}; name one as Europe/Berlin or UTC (the system's package tzdata has them)",
            param="zone",
        ) from error


def start_of(unit: Unit, moment: int, zone: tzinfo) -> int:
    """When the period begins in which a moment lies; both in seconds since 1970."""
    local = datetime.fromtimestamp(moment, zone)
    if unit == "hour":
        return moment - moment % HOUR
    local = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if unit == "week":
        local -= timedelta(days=local.weekday())
    elif unit == "month":
        local = local.replace(day=1)
    return int(local.timestamp())


def name_of(unit: Unit, start: int, zone: tzinfo) -> str:
    """What a period is called: `2026-11-20T10:00Z`, `2026-11-20`, `2026-W47`, `2026-11`."""
    local = datetime.fromtimestamp(start, zone)
    if unit == "hour":
        return local.isoformat(timespec="minutes").replace("+00:00", "Z")
    return local.strftime(_FORMATS[unit])


def start_named(unit: Unit, name: str, zone: tzinfo) -> int:
    """The reverse of `name_of`. Raises ValueError for what is no such name."""
    if unit == "hour":
        moment = datetime.fromisoformat(name)
        if moment.tzinfo is None:
            raise ValueError(f"{name} has no time zone")
        return int(moment.timestamp())
    if unit == "week":
        return int(datetime.strptime(f"{name}-1", "%G-W%V-%u").replace(tzinfo=zone).timestamp())
    return int(datetime.strptime(name, _FORMATS[unit]).replace(tzinfo=zone).timestamp())
