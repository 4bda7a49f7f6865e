"""Validation rules for budgets and webhooks, and likely mistakes in them. Pure; no rule quotes what may be a secret."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proxy.config.rules import Violation
from proxy.config.toml_positions import Path
from proxy.config.tree import Budget, Config

#: The windows of a budget, with the weekday or the day of the month on which one begins.
WINDOW: Final = re.compile(r"day|year|total|week(?::(mon|tue|wed|thu|fri|sat|sun))?|month(?::([1-9]|[12][0-9]|3[01]))?")
WINDOW_FORMS: Final = "day, week, week:sun, month, month:15, year or total"
ZONE_HINT: Final = (
    'use an IANA name such as "Europe/Berlin" or "UTC", and install the system\'s tzdata if it is missing'
)
MAX_WARNINGS: Final = 8
_LIMIT: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_MAX_LIMIT: Final = Decimal(1_000_000_000)


def budget(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The violations of one budget, as it is written: (key, message, hint)."""
    limit = values.get("limit")
    if limit is not None and not (_LIMIT.fullmatch(str(limit)) and Decimal(str(limit)) < _MAX_LIMIT):
        yield "limit", "is no amount of USD", 'such as "500.00", with at most nine decimals'
    if "window" in values and WINDOW.fullmatch(values["window"]) is None:
        yield "window", "is no window", f"a window is {WINDOW_FORMS}"
    if "zone" in values and not is_zone(values["zone"]):
        yield "zone", "is no time zone that is known here", ZONE_HINT
    if len(values.get("warn", ())) > MAX_WARNINGS:
        yield "warn", f"has more than {MAX_WARNINGS} percentages", "leave some out"


def violations(limits: Budget) -> list[str]:
    """What is wrong with a budget that was not read from the file, such as that of a key, in words."""
    return [f"{key} {message}: {hint}" for key, message, hint in budget({**_plain(limits), "limit": str(limits.limit)})]


def _plain(limits: Budget) -> dict[str, Any]:
    return {name: getattr(limits, name) for name in ("window", "zone", "warn")}


def is_zone(name: str) -> bool:
    """Whether a name is that of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def webhook_url(url: str) -> Iterator[Violation]:
    """The address that events are posted to."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
        parts = urlsplit("")
    if not known or not url.isascii() or not url.isprintable() or " " in url:
        yield "is no address of a web server", "such as https://alerts.example.com/hook"
    elif parts.username or parts.password:
        yield "has a user in it", "requests are signed by the secret; leave out the user"


def _is_private(host: str) -> bool:
    """Whether a host is known to be private without looking its name up."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def budget_warnings(config: Config) -> Iterator[tuple[Path, str, str]]:
    """Likely mistakes in the budgets of a file."""
    for name, budget_ in config.budgets.items():
        path: Path = ("budgets", name)
        for alias in budget_.models:
            if alias not in config.models:
                yield (*path, "models"), f'counts the model "{alias}", which is not there', "remove or correct its name"
        if budget_.unpriced == "refuse":
            counted = budget_.models or list(config.models)
            bare = [alias for alias in counted if alias in config.models and config.models[alias].price is None]
            if bare:
                names = ", ".join(f'"{alias}"' for alias in bare)
                what = f"refuses requests for {names}: without a price their cost is not known"
                yield path, what, 'give each a price, or set unpriced = "allow", which counts them as nothing'
    if config.webhooks is not None:
        url = urlsplit(config.webhooks.url)
        if not config.webhooks.allow_private and _is_private(url.hostname or ""):
            yield ("webhooks", "url"), "is in a private network, where nothing is posted to", "allow_private = true"
        elif url.scheme == "http" and not config.webhooks.allow_private:
            yield ("webhooks", "url"), "is not encrypted", "use https://"
        if not config.webhooks.secret:
            yield ("webhooks",), "has no secret, so events are not signed", 'secret = "${WEBHOOK_SECRET}"'
