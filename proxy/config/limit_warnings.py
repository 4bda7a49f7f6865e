"""Warnings about limits that can never take effect, or that another one makes useless. Pure."""

from collections.abc import Iterator
from typing import Final

from proxy.config.problems import ConfigWarning, did_you_mean
from proxy.config.rates import PERIODS, RATES, Rate, parse_rates
from proxy.config.toml_positions import Path
from proxy.config.tree import Capability, Config, Limits

#: Rates of tokens that are a part of another one.
_PARTS: Final = ("input_tokens", "output_tokens")
_WITHOUT_OUTPUT: Final[frozenset[Capability]] = frozenset({"embeddings", "rerank", "moderation"})


def limit_warnings(config: Config) -> Iterator[ConfigWarning]:
    """The warnings about all limits of a configuration."""
    limits = config.limits
    for name, one in limits.items():
        yield from _warnings(one, ("limits", name), config)
    if "default" in limits and "global" in limits:
        yield from _above(limits["default"], limits["global"], ("limits", "default"), "limits.global")
    for alias, model in config.models.items():
        if model.limits is None:
            continue
        path: Path = ("models", alias, "limits")
        yield from _of_one_alias(model.limits, path, model.capability)
        if model.limits.models:
            yield (*path, "models"), "is not used: these limits are for one alias", "leave it out"
        if "global" in limits:
            yield from _above(model.limits, limits["global"], path, "limits.global")


def _warnings(limits: Limits, path: Path, config: Config) -> Iterator[ConfigWarning]:
    if limits == Limits():
        yield path, "limits nothing", 'such as requests = "600/min"'
    yield from _within(limits, path)
    for alias, inner in limits.models.items():
        where = (*path, "models", alias)
        if alias not in config.models:
            yield where, f'no alias is named "{alias}"', did_you_mean(alias, config.models) or "leave it out"
            continue
        yield from _of_one_alias(inner, where, config.models[alias].capability)
        yield from _above(inner, limits, where, ".".join(map(str, path)))


def _of_one_alias(limits: Limits, path: Path, capability: Capability) -> Iterator[ConfigWarning]:
    if limits == Limits():
        yield path, "limits nothing", 'such as requests = "600/min"'
    if limits.audio_minutes and capability != "audio":
        yield (
            (*path, "audio_minutes"),
            f"an alias for {capability} uses no minutes of audio",
            "limit requests or tokens",
        )
    if limits.output_tokens and capability in _WITHOUT_OUTPUT:
        yield (*path, "output_tokens"), f"an alias for {capability} has no output tokens", "limit tokens"
    yield from _within(limits, path)


def _within(limits: Limits, path: Path) -> Iterator[ConfigWarning]:
    """What of one table is never reached because of the rest of it."""
    for name in RATES:
        rates = parse_rates(getattr(limits, name))
        for rate in rates:
            lower = next((other for other in rates if other is not rate and _is_lower(other, rate)), None)
            if lower is not None:
                message = f"{_text(rate)} is never reached: {_text(lower)} allows less"
                yield (*path, name), message, "leave it out, or lower it"
    whole = parse_rates(limits.tokens)
    for name in _PARTS:
        for rate in parse_rates(getattr(limits, name)):
            lower = next((other for other in whole if _is_lower(other, rate)), None)
            if lower is not None:
                message = f"{_text(rate)} is never reached: tokens = {_text(lower)} counts them too, and is no more"
                yield (*path, name), message, "leave it out, or lower it"


def _above(limits: Limits, outer: Limits, path: Path, name: str) -> Iterator[ConfigWarning]:
    """Rates that are never reached because those of a table that counts the same requests, and more, are lower."""
    for unit in RATES:
        beyond = parse_rates(getattr(outer, unit))
        for rate in parse_rates(getattr(limits, unit)):
            lower = next((other for other in beyond if _is_lower(other, rate)), None)
            if lower is not None:
                yield (*path, unit), f"{_text(rate)} is never reached: {name} allows {_text(lower)}", "lower it"
    if outer.concurrent and limits.concurrent > outer.concurrent:
        message = f"{limits.concurrent} is never reached: {name} allows {outer.concurrent}"
        yield (*path, "concurrent"), message, "lower it"


def _is_lower(one: Rate, other: Rate) -> bool:
    """Whether a rate lets less through than another one in every span of time, so that the other never refuses."""
    brings, other_brings = one.amount * PERIODS[other.period], other.amount * PERIODS[one.period]
    return one.burst <= other.burst and brings <= other_brings and (one.burst, brings) != (other.burst, other_brings)


def _text(rate: Rate) -> str:
    burst = f" burst {rate.burst}" if rate.burst != rate.amount else ""
    return f"{rate.amount}/{rate.period}{burst}"
