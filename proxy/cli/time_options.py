"""Times as people type them: spans such as "24h", dates, and ISO timestamps. UTC where no zone is said.

The functions are callbacks of options: they take the text and give the moment. Wrong text is a wrong use.
"""

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"([0-9]{1,6})([smhdw])")
_FORMS = "write a span such as 24h or 7d, a date such as 2026-11-01, or an ISO timestamp"


def past(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Read a moment; a span lies that far back."""
    return _moment(value, -1)


def future(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Read a moment that is still to come; a span lies that far ahead."""
    moment = _moment(value, 1)
    if moment is not None and moment <= datetime.now(UTC):
        raise click.BadParameter(f"'{value}' is in the past")
    return moment


def span(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    """Read a length of time; "0" is none."""
    length = timedelta() if value == "0" else _span(value)
    if length is None:
        raise click.BadParameter(f"'{value}' is no span of time: write 90s, 30m, 24h, 7d, 2w or 0")
    return length


def _moment(value: str | None, direction: int) -> datetime | None:
    if value is None:
        return None
    try:
        length = _span(value)
        if length is not None:
            return datetime.now(UTC) + direction * length
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"'{value}' is no time: {_FORMS}") from error


def _span(value: str) -> timedelta | None:
    match = _SPAN.fullmatch(value)
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
