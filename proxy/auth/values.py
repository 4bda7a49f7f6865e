"""What a key, a team or an organisation may be given: validated values, and their JSON in the database.

Pure. What is refused here never reaches the database; what cannot be read from there is `Damaged`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, UnsetType

from proxy.config.rates import limits_violations
from proxy.config.tree import Budget, Limits
from proxy.errors import InvalidRequest, StoreFailed

MAX_NAME_CHARACTERS = 64
MAX_TAGS = 32
MAX_BUDGETS = 16
MAX_METADATA_BYTES = 8_192
#: Nested tables and lists of a free document: reading one deeper than Python's stack fails.
MAX_DEPTH = 64
#: The last second that can be written as ISO 8601, in UTC: 9999-12-31T23:59:59Z.
MAX_EXPIRES = 253_402_300_799
#: Most dollars of a budget or of credits: their sums still fit into 64 bits of nano-dollars.
MAX_USD = 1_000_000_000
_NANO = 1_000_000_000
_MAX_DECIMALS = 9
_ID = re.compile(r"(?:key|team|org)_[0-9a-f]{12}")
_WINDOW = re.compile(r"day|year|total|week(?::(?:mon|tue|wed|thu|fri|sat|sun))?|month(?::(?:[1-9]|[12][0-9]|3[01]))?")

T = TypeVar("T")


class Damaged(StoreFailed):
    """A value of `keys.db` that cannot be read; the message says which, without quoting it."""


class Fields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set of each: UNSET is not given, None takes it away."""

    name: str | UnsetType = UNSET
    limits: Limits | UnsetType | None = UNSET
    budgets: Sequence[Budget] | UnsetType | None = UNSET


F = TypeVar("F", bound=Fields)


class OrgFields(Fields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set of an organisation."""


class TeamFields(Fields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set of a team. `org` is an organisation's name or id."""

    org: str | UnsetType | None = UNSET


class KeyFields(Fields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set of a key. `models` None allows all aliases; `team` is a team's name or id."""

    models: Sequence[str] | UnsetType | None = UNSET
    expires: datetime | UnsetType | None = UNSET
    team: str | UnsetType | None = UNSET
    tags: Sequence[str] | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET


def given(value: T | UnsetType, default: T) -> T:
    """The value, or the default where it is not given."""
    return default if value is UNSET else value


def whole(fields: F) -> F:
    """The fields with None for all that is not given, but for the name."""
    missing = [name for name in fields.__struct_fields__ if name != "name" and getattr(fields, name) is UNSET]
    return msgspec.structs.replace(fields, **dict.fromkeys(missing))


# validated: all raise InvalidRequest


def valid_name(name: str, what: str = "key") -> str:
    """The name of a key, a team or an organisation."""
    of = "an organisation" if what == "organisation" else f"a {what}"
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable() or name != name.strip():
        raise InvalidRequest(
            f"{of}'s name is 1 to {MAX_NAME_CHARACTERS} printable characters, with no space at its ends", param="name"
        )
    if _ID.fullmatch(name):
        raise InvalidRequest(f"{of}'s name may not look like an id", param="name")
    return name


def valid_models(models: Sequence[str] | None) -> list[str] | None:
    """The aliases that a key may use."""
    if models is None:
        return None
    names = sorted(set(models))
    if not names or not all(map(_is_word, names)):
        raise InvalidRequest("models are one or more aliases; leave them out to allow all", param="models")
    return names


def valid_expiry(expires: datetime | None, now: int) -> int | None:
    """When a key ends, in seconds since 1970."""
    if expires is None:
        return None
    if expires.tzinfo is None:
        raise InvalidRequest("the expiry has no time zone; add one, such as Z for UTC", param="expires")
    moment = int(expires.timestamp())
    if moment <= now:
        raise InvalidRequest("the expiry is in the past", param="expires")
    if moment > MAX_EXPIRES:
        raise InvalidRequest("the expiry is after the year 9999 in UTC; leave it out for no end", param="expires")
    return moment


def valid_tags(tags: Sequence[str] | None) -> tuple[str, ...]:
    """The tags of a key, sorted, each once."""
    names = tuple(sorted(set(tags or ())))
    if len(names) > MAX_TAGS:
        raise InvalidRequest(f"a key may have {MAX_TAGS} tags at most, and these are {len(names)}", param="tags")
    for name in names:
        if not _is_word(name) or len(name) > MAX_NAME_CHARACTERS or "," in name:
            raise InvalidRequest(
                f"a tag is 1 to {MAX_NAME_CHARACTERS} printable characters, without a comma and with no space at its "
                f"ends; {name[:80]!r} is none",
                param="tags",
            )
    return names


def valid_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The operator's own notes on a key."""
    if not metadata:
        return None
    if is_deeper(metadata, MAX_DEPTH):
        raise InvalidRequest(f"metadata may have {MAX_DEPTH} levels at most", param="metadata")
    if _has_null(metadata):
        raise InvalidRequest("metadata has no null in it; leave the name out", param="metadata")
    if len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        raise InvalidRequest(f"metadata may have {MAX_METADATA_BYTES} bytes of JSON at most", param="metadata")
    return dict(metadata)


def is_deeper(value: Any, levels: int) -> bool:
    """Whether a document of plain types has more than so many levels of tables and lists."""
    level = [value]
    for _ in range(levels + 1):
        level = [one for one in level if isinstance(one, Mapping | list | tuple)]
        if not level:
            return False
        level = [item for one in level for item in (one.values() if isinstance(one, Mapping) else one)]
    return True


def _has_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_null, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_null, value))
    return value is None


def valid_limits(limits: Limits | None) -> Limits | None:
    """Limits, or None where nothing is limited."""
    if limits is None:
        return None
    for path, message, hint in limits_violations(msgspec.to_builtins(limits)):
        where = ".".join(path)
        raise InvalidRequest(f"{where} {message}; {hint}", param=f"limits.{where}")
    for alias in limits.models:
        if not _is_word(alias):
            raise InvalidRequest(f"{alias[:80]!r} is no name of an alias", param="limits.models")
    return limits if plain_limits(limits) else None


def valid_budgets(budgets: Sequence[Budget] | None) -> tuple[Budget, ...]:
    """The budgets of a key, a team or an organisation."""
    given = tuple(budgets or ())
    if len(given) > MAX_BUDGETS:
        raise InvalidRequest(f"there may be {MAX_BUDGETS} budgets at most", param="budgets")
    seen = set()
    for place, budget in enumerate(given):
        param = f"budgets.{place}"
        if budget.keys or budget.teams or budget.orgs:
            raise InvalidRequest(
                "keys, teams and orgs belong to budgets in the configuration file; these are for whom they are set",
                param=param,
            )
        valid_nano(budget.limit, f"{param}.limit", least=Decimal(0))
        if _WINDOW.fullmatch(budget.window) is None:
            raise InvalidRequest(
                f"{budget.window[:40]!r} is no window: day, week, week:sun, month, month:15, year or total",
                param=f"{param}.window",
            )
        _validate_zone(budget.zone, f"{param}.zone")
        if not all(map(_is_word, budget.models)):
            raise InvalidRequest("models are aliases; leave them out to count all", param=f"{param}.models")
        counted = (budget.window, budget.zone, tuple(sorted(set(budget.models))))
        if counted in seen:
            raise InvalidRequest(
                f"two budgets count the same: window {budget.window}, zone {budget.zone}; keep one", param=param
            )
        seen.add(counted)
    return given


def valid_nano(usd: Decimal, param: str, least: Decimal | None = None) -> int:
    """An exact number of dollars as nano-dollars."""
    if not usd.is_finite() or abs(usd) > MAX_USD or (least is not None and usd < least):
        low = f"-{MAX_USD}" if least is None else str(least)
        raise InvalidRequest(f"{usd} is no amount from {low} to {MAX_USD} USD", param=param)
    nano = usd * _NANO
    # Zeros behind the ninth decimal too: there may be a billion of them in `0e-999999999`.
    if int(usd.as_tuple().exponent) < -_MAX_DECIMALS:
        raise InvalidRequest(f"{usd} USD has more than 9 decimals", param=param)
    return int(nano)


def _validate_zone(zone: str, param: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest(
            f"{zone[:64]!r} is no time zone that is known here; write an IANA name such as Europe/Berlin", param=param
        ) from error


def _is_word(text: str) -> bool:
    return bool(text) and text.isprintable() and text == text.strip()


# plain types: what is set, without the defaults


def plain_limits(limits: Limits | None) -> dict[str, Any]:
    """Limits as a JSON object of what is limited."""
    if limits is None:
        return {}
    plain = _without_defaults(limits, Limits())
    of_aliases = {alias: plain_limits(of_alias) for alias, of_alias in sorted(limits.models.items())}
    plain["models"] = {alias: found for alias, found in of_aliases.items() if found}
    return {name: value for name, value in plain.items() if value}


def plain_budget(budget: Budget) -> dict[str, Any]:
    """A budget as a JSON object; money is a decimal in a string."""
    plain = _without_defaults(budget, Budget(limit=Decimal(0)))
    if "models" in plain:
        plain["models"] = sorted(set(budget.models))
    if "warn" in plain:
        plain["warn"] = sorted(set(budget.warn))
    return {"limit": format(budget.limit, "f"), **{name: value for name, value in plain.items() if name != "limit"}}


def _without_defaults(value: msgspec.Struct, default: msgspec.Struct) -> dict[str, Any]:
    return {name: item for name in value.__struct_fields__ if (item := getattr(value, name)) != getattr(default, name)}


# the database's JSON


def encoded(value: object) -> str | None:
    """The JSON of a value of plain types; None where it is empty."""
    return msgspec.json.encode(value).decode() if value else None


def encoded_budgets(budgets: Iterable[Budget]) -> str | None:
    """The JSON of budgets."""
    return encoded([plain_budget(budget) for budget in budgets])


def decoded_limits(text: str | None) -> Limits | None:
    """Limits of the database. Raises Damaged."""
    return None if text is None else _read(text, Limits, valid_limits, "limits")


def decoded_budgets(text: str | None) -> tuple[Budget, ...]:
    """Budgets of the database. Raises Damaged."""
    return () if text is None else _read(text, list[Budget], valid_budgets, "budgets")


def decoded_strings(text: str | None, what: str) -> tuple[str, ...]:
    """A list of strings of the database; `what` names it. Raises Damaged."""
    return () if text is None else _read(text, list[str], tuple, what)


def decoded_object(text: str | None, what: str) -> dict[str, Any] | None:
    """A JSON object of the database; `what` names it. Raises Damaged."""
    return None if text is None else _read(text, dict[str, Any], dict, what)


def _read(text: str, type_: Any, validated: Any, what: str) -> Any:
    try:
        return validated(msgspec.json.decode(text, type=type_))
    except (msgspec.DecodeError, InvalidRequest) as error:
        raise Damaged(f"{what} cannot be read") from error
