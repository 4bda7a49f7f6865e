"""The example: valid as it stands, with all aliases at their prices."""

from decimal import Decimal
from pathlib import Path

from proxy.cli.example import EXAMPLE
from proxy.config.load import parse

PRICES = {
    "prometheus-spark": ("chat", "0.15", "0.60", None),
    "prometheus-lite": ("chat", "0.10", "0.40", None),
    "prometheus-core": ("chat", "1.10", "4.40", None),
    "prometheus-vision": ("vision", "0.40", "1.60", None),
    "prometheus-pulse": ("realtime", "0.15", "0.60", None),
    "prometheus-surge": ("realtime", "0.40", "1.60", None),
    "prometheus-atlas": ("embeddings", "0.02", None, None),
    "prometheus-echo": ("audio", None, None, "0.006"),
}


def test_the_example_has_all_aliases_at_their_prices() -> None:
    config = parse(EXAMPLE, Path("p.toml"), {"OPENAI_API_KEY": "sk"})
    found = {
        alias: (model.capability, model.price.input, model.price.output, model.price.minute)
        for alias, model in config.models.items()
        if model.price is not None
    }
    assert found == {
        alias: (capability, *(None if price is None else Decimal(price) for price in prices))
        for alias, (capability, *prices) in PRICES.items()
    }


def test_the_part_that_is_commented_out_is_valid_too() -> None:
    text = EXAMPLE.replace("# [upstreams.local]", "[upstreams.local]")
    text = text.replace("# kind", "kind").replace("# base_url", "base_url").replace("# first_byte", "first_byte")
    config = parse(text, Path("p.toml"), {"OPENAI_API_KEY": "sk"})
    assert config.upstreams["local"].first_byte_timeout == 60
