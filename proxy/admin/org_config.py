"""The configuration document of an organisation: its sections, what of them is in force, and its secrets.

The document is kept and returned as it was given. What the gateway has for it (limits and a budget of the whole
organisation) is applied; the rest is inert, and named. A masked secret in a document means that it stays as it is.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from proxy.auth.audit import SECRET_WORDS
from proxy.config.tree import Budget, Limits
from proxy.errors import InvalidRequest

MAX_ORGS: Final = 10_000
_MASK: Final = "****"
_UNMASKED_CHARACTERS: Final = 12
#: Names that are called a key and are none.
_NO_SECRETS: Final = frozenset({"keys", "monkey", "key_path", "public_key"})
_PERIODS: Final[Mapping[str, str]] = {"daily": "day", "weekly": "week", "monthly": "month", "total": "total"}

Period = Literal["daily", "weekly", "monthly", "total"]
Table = dict[str, Any]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Base class of the sections: a misspelt field is refused, and what is not given is not stored."""


class Provider(Part, frozen=True):
    """`providers.NAME`: an account of the organisation's own at a provider."""

    api_key: str | UnsetType = UNSET
    base_url: str | UnsetType = UNSET
    api_format: str | UnsetType = UNSET
    models: list[str] | UnsetType = UNSET
    timeout: float | UnsetType = UNSET
    weight: float | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    max_concurrent: int | UnsetType = UNSET
    conn_pool_size: int | UnsetType = UNSET
    aws_region: str | UnsetType = UNSET
    aws_access_key_id: str | UnsetType = UNSET
    aws_secret_access_key: str | UnsetType = UNSET
    aws_session_token: str | UnsetType = UNSET


class RateLimiting(Part, frozen=True):
    """`rate_limiting`: requests and tokens per minute; 0 is no limit."""

    enabled: bool | UnsetType = UNSET
    global_rpm: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    global_tpm: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    per_key_rpm: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    per_key_tpm: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    per_model_rpm: dict[str, int] | UnsetType = UNSET
    per_user_rpm: Annotated[int, Meta(ge=0)] | UnsetType = UNSET


class BudgetOf(Part, frozen=True):
    """A budget of a team, a user, a key or a tag."""

    limit: Decimal
    period: Period | UnsetType = UNSET
    #: null is true.
    hard: bool | UnsetType | None = UNSET
    per_model: dict[str, Decimal] | UnsetType = UNSET


class Budgets(Part, frozen=True):
    """`budgets`: USD by period."""

    enabled: bool | UnsetType = UNSET
    default_period: Period | UnsetType = UNSET
    #: A fraction up to 1, or a percentage.
    warn_threshold: Annotated[float, Meta(ge=0, le=100)] | UnsetType = UNSET
    org_limit: Decimal | UnsetType = UNSET
    org_period: Period | UnsetType = UNSET
    #: null is true.
    hard_limit: bool | UnsetType | None = UNSET
    teams: dict[str, BudgetOf] | UnsetType = UNSET
    users: dict[str, BudgetOf] | UnsetType = UNSET
    keys: dict[str, BudgetOf] | UnsetType = UNSET
    tags: dict[str, BudgetOf] | UnsetType = UNSET


class CustomPrice(Part, frozen=True):
    """The price of one model, in USD per million tokens."""

    input_per_mtok: Decimal
    output_per_mtok: Decimal


class CostTracking(Part, frozen=True):
    """`cost_tracking`: prices of the organisation's own."""

    custom_pricing: dict[str, CustomPrice] | UnsetType = UNSET


class IpAcl(Part, frozen=True):
    """`ip_acl`: from which addresses its keys may be used."""

    allow: list[str] | UnsetType = UNSET
    deny: list[str] | UnsetType = UNSET


class AlertRule(Part, frozen=True):
    """One rule of `alerting`."""

    name: str
    metric: str
    condition: str
    threshold: float
    window: str | UnsetType = UNSET
    cooldown: str | UnsetType = UNSET
    channels: list[str] | UnsetType = UNSET


class Alerting(Part, frozen=True):
    """`alerting`: rules, and where they report."""

    rules: list[AlertRule] | UnsetType = UNSET
    channels: list[Table] | UnsetType = UNSET


class Privacy(Part, frozen=True):
    """`privacy`: what of requests is stored."""

    mode: Literal["full", "patterns", "none"] | UnsetType = UNSET
    redact_patterns: list[Table] | UnsetType = UNSET


class ToolPolicy(Part, frozen=True):
    """`tool_policy`: which tools requests may have."""

    max_tools_per_request: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    default_action: Literal["strip", "reject"] | UnsetType = UNSET
    allow: list[str] | UnsetType = UNSET
    deny: list[str] | UnsetType = UNSET


class OrgConfig(Part, frozen=True):
    """The whole document."""

    providers: dict[str, Provider] | UnsetType = UNSET
    guardrails: Table | UnsetType = UNSET
    routing: Table | UnsetType = UNSET
    cache: Table | UnsetType = UNSET
    rate_limiting: RateLimiting | UnsetType = UNSET
    budgets: Budgets | UnsetType = UNSET
    cost_tracking: CostTracking | UnsetType = UNSET
    ip_acl: IpAcl | UnsetType = UNSET
    alerting: Alerting | UnsetType = UNSET
    privacy: Privacy | UnsetType = UNSET
    tool_policy: ToolPolicy | UnsetType = UNSET
    mcp: Table | UnsetType = UNSET
    audit: Table | UnsetType = UNSET
    a2a: Table | UnsetType = UNSET
    model_database: Table | UnsetType = UNSET
    model_map: dict[str, str] | UnsetType = UNSET


#: Sections of which something is in force, with the fields that are.
_APPLIED: Final[Mapping[str, frozenset[str]]] = {
    "rate_limiting": frozenset({"enabled", "global_rpm", "global_tpm"}),
    "budgets": frozenset({"enabled", "default_period", "warn_threshold", "org_limit", "org_period", "hard_limit"}),
}


def plain(config: OrgConfig) -> Table:
    """The document in plain types, with what was given and nothing else."""
    document: Table = msgspec.to_builtins(config, builtin_types=(), str_keys=True)
    return document


def inert(document: Mapping[str, Any]) -> list[str]:
    """The sections and fields of a document that the gateway keeps and does not act on."""
    names: list[str] = []
    for section, value in document.items():
        applied = _APPLIED.get(section)
        if applied is None:
            names.append(section)
        else:
            names += [f"{section}.{field}" for field in value if field not in applied]
    return sorted(names)


def limits_of(config: OrgConfig) -> Limits | None:
    """The limits of the whole organisation; None where the document has none, or they are switched off."""
    rates = config.rate_limiting
    if isinstance(rates, UnsetType) or rates.enabled is False:
        return None
    requests = "" if isinstance(rates.global_rpm, UnsetType) or not rates.global_rpm else f"{rates.global_rpm}/min"
    tokens = "" if isinstance(rates.global_tpm, UnsetType) or not rates.global_tpm else f"{rates.global_tpm}/min"
    return Limits(requests=requests, tokens=tokens) if requests or tokens else None


def budgets_of(config: OrgConfig) -> list[Budget]:
    """The budget of the whole organisation, if the document has one."""
    budgets = config.budgets
    if isinstance(budgets, UnsetType) or budgets.enabled is False or isinstance(budgets.org_limit, UnsetType):
        return []
    period: str = "monthly"
    for given in (budgets.default_period, budgets.org_period):
        if not isinstance(given, UnsetType):
            period = given
    warn = [50, 80, 100]
    if not isinstance(budgets.warn_threshold, UnsetType):
        share = budgets.warn_threshold
        warn = sorted({round(share * 100 if share <= 1 else share), 100})
    on_exceed: Literal["refuse", "warn"] = "warn" if budgets.hard_limit is False else "refuse"
    return [Budget(limit=budgets.org_limit, window=_PERIODS[period], warn=warn, on_exceed=on_exceed)]


# secrets


def mask(secret: str) -> str:
    """A secret but for its first eight and last four characters, if it is long enough."""
    return f"{secret[:8]}{_MASK}{secret[-4:]}" if len(secret) > _UNMASKED_CHARACTERS else _MASK


def masked(value: Any, name: str = "") -> Any:
    """A copy of a document with its secrets masked, at any depth; all texts below the name of a secret are some."""
    if isinstance(value, dict):
        return {key: masked(item, name if _is_secret(name) else key) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item, name) for item in value]
    return mask(value) if isinstance(value, str) and value and _is_secret(name) else value


def unmasked(value: Any, before: Any, name: str = "") -> Any:
    """A document as it is to be stored: a masked secret is what it was before.

    Raises `InvalidRequest` for a mask of what was not there: it would be stored as the secret.
    """
    if isinstance(value, dict):
        was = before if isinstance(before, dict) else {}
        return {key: unmasked(item, was.get(key), name if _is_secret(name) else key) for key, item in value.items()}
    if isinstance(value, list):
        return [
            unmasked(item, before[place] if _has(before, place) else None, name) for place, item in enumerate(value)
        ]
    if not (isinstance(value, str) and _MASK in value and _is_secret(name)):
        return value
    for candidate in _candidates(before):
        if value == mask(candidate):
            return candidate
    raise InvalidRequest(f"'{name}' is masked, and there is no such secret to keep: write it in full.", param=name)


def _candidates(before: Any) -> Iterator[str]:
    if isinstance(before, str):
        yield before


def _has(before: Any, place: int) -> bool:
    return isinstance(before, list) and place < len(before)


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return lower not in _NO_SECRETS and any(word in lower for word in SECRET_WORDS)
