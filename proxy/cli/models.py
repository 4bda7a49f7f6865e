"""`models`: the aliases that are configured. It asks no upstream and needs no credential."""

from pathlib import Path

import click
import msgspec

from proxy.cli.options import as_json, config_file, configured
from proxy.cli.output import print_json, print_table, talk
from proxy.config.tree import Model, Price


@click.command()
@config_file
@as_json
def command(config_path: Path | None, as_json: bool) -> None:
    """List the configured aliases, their capability, targets and prices."""
    models = configured(config_path).models
    if as_json:
        print_json([{"alias": alias, **_described(model)} for alias, model in models.items()])
        return
    if not models:
        talk("No aliases are configured. Write a configuration with: prometheus-gateway init")
        return
    print_table(
        ("alias", "capability", "targets", "price in USD"),
        [(alias, model.capability, ", ".join(model.targets), _price(model.price)) for alias, model in models.items()],
    )


def _described(model: Model) -> dict[str, object]:
    price = None if model.price is None else {kind: str(value) for kind, value in _prices(model.price).items()}
    return {"capability": model.capability, "targets": model.targets, "price": price}


def _prices(price: Price) -> dict[str, object]:
    return {kind: value for kind, value in msgspec.structs.asdict(price).items() if value is not None}


def _price(price: Price | None) -> str:
    if price is None:
        return "unpriced"
    per = {"minute": " a minute", "image": " each"}
    return ", ".join(f"{kind} {value}{per.get(kind, ' per 1M')}" for kind, value in _prices(price).items())
