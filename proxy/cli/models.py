"""`models`: the aliases that are configured. It sends nothing to an upstream and needs no credential."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import click
import msgspec

from proxy.cli.options import as_json, config_file, configured
from proxy.cli.output import print_json, print_note, print_table
from proxy.config.translated import TEXT, TEXT_ENDPOINTS, formats, service
from proxy.config.tree import Model, Price, Upstream

#: The formats, the most usual first.
_ORDER = ("openai", "anthropic", "gemini")
#: What a price is for, where its own name is not short enough.
_PER: Mapping[str, str] = MappingProxyType(
    {"input": "in", "output": "out", "cached_input": "cached", "minute": "a minute", "image": "an image"}
)


@click.command()
@config_file
@as_json
def command(config_path: Path | None, as_json: bool) -> None:
    """List the configured aliases, what they can do, the formats they can be called in, targets and prices."""
    config = configured(config_path)
    if as_json:
        print_json([_described(alias, model, config.upstreams) for alias, model in config.models.items()])
        return
    if not config.models:
        print_note("No aliases are configured. Write a configuration with: prometheus-gateway init")
        return
    print_table(
        ("alias", "capability", "formats", "targets", "USD per 1M"),
        [
            (
                alias,
                model.capability,
                ", ".join(_formats(model, config.upstreams)),
                _targets(model),
                _price(model.price),
            )
            for alias, model in config.models.items()
        ],
    )
    print_note("Formats are those of its targets; --json shows what is translated into them (docs/translation.md).")


def _formats(model: Model, upstreams: Mapping[str, Upstream]) -> list[str]:
    """The formats that an alias's targets speak."""
    return sorted(formats(model, upstreams), key=_ORDER.index)


def _translated(model: Model, upstreams: Mapping[str, Upstream]) -> list[str]:
    """The endpoints that an alias serves by translation."""
    if model.capability not in TEXT:
        return []
    return [endpoint for endpoint in TEXT_ENDPOINTS if service(model, upstreams, endpoint) == "translated"]


def _targets(model: Model) -> str:
    return ", ".join(model.targets)


def _described(alias: str, model: Model, upstreams: Mapping[str, Upstream]) -> dict[str, object]:
    price = None if model.price is None else {kind: str(value) for kind, value in _prices(model.price).items()}
    return {
        "alias": alias,
        "capability": model.capability,
        "formats": _formats(model, upstreams),
        "translated": _translated(model, upstreams),
        "targets": model.targets,
        "price": price,
    }


def _prices(price: Price) -> dict[str, object]:
    prices = {kind: value for kind, value in msgspec.structs.asdict(price).items() if value is not None}
    for tier, tokens in prices.pop("tiers", {}).items():
        prices |= {
            f"{tier} {kind}": value for kind, value in msgspec.structs.asdict(tokens).items() if value is not None
        }
    return prices


def _price(price: Price | None) -> str:
    if price is None:
        return "unpriced"
    return " ".join(f"{value} {_PER.get(kind, kind)}" for kind, value in _prices(price).items())
