"""Settings and models of the demo provider, and the configuration made from them."""

from decimal import Decimal
from typing import get_args

import pytest

from proxy.config.presets import PRESETS
from proxy.config.tree import Capability, Server, split_target
from proxy.config.warnings import warnings
from proxy.demo.settings import DEMO_MODELS, TEXT, DemoSettings, demo_config, find_model
from proxy.errors import InvalidRequest, ModelNotFound

SETTINGS = DemoSettings(api_key="secret")


def test_each_provider_has_a_key_of_its_own() -> None:
    assert DemoSettings().api_key != DemoSettings().api_key


def test_a_repr_does_not_show_the_key() -> None:
    assert "secret" not in repr(SETTINGS)


def test_the_config_points_at_the_provider_with_its_key() -> None:
    upstream = demo_config(4321, SETTINGS).upstreams["demo"]
    assert (upstream.base_url, upstream.api_key) == ("http://127.0.0.1:4321/v1", "secret")


@pytest.mark.parametrize(
    ("alias", "capability", "prices"),
    [
        ("prometheus-spark", "chat", ("0.15", "0.60", None)),
        ("prometheus-lite", "chat", ("0.10", "0.40", None)),
        ("prometheus-core", "chat", ("1.10", "4.40", None)),
        ("prometheus-vision", "vision", ("0.40", "1.60", None)),
        ("prometheus-pulse", "realtime", ("0.15", "0.60", None)),
        ("prometheus-surge", "realtime", ("0.40", "1.60", None)),
        ("prometheus-atlas", "embeddings", ("0.02", None, None)),
        ("prometheus-echo", "audio", (None, None, "0.006")),
    ],
)
def test_the_config_has_each_alias_with_its_price(
    alias: str, capability: str, prices: tuple[str | None, str | None, str | None]
) -> None:
    model = demo_config(1, SETTINGS).models[alias]
    assert model.price is not None
    assert model.capability == capability
    expected = tuple(None if price is None else Decimal(price) for price in prices)
    assert (model.price.input, model.price.output, model.price.minute) == expected


def test_every_target_is_a_model_of_the_provider() -> None:
    config = demo_config(1, SETTINGS)
    for model in DEMO_MODELS:
        targets = [split_target(target) for target in config.models[model.alias].targets]
        assert {name for _, name in targets} == {model.name}
        assert {upstream for upstream, _ in targets} <= config.upstreams.keys()


def test_the_eight_aliases_come_first() -> None:
    assert list(demo_config(1, SETTINGS).models)[:8] == [
        "prometheus-spark",
        "prometheus-lite",
        "prometheus-core",
        "prometheus-vision",
        "prometheus-pulse",
        "prometheus-surge",
        "prometheus-atlas",
        "prometheus-echo",
    ]


def test_there_is_an_alias_for_every_capability() -> None:
    assert {model.capability for model in demo_config(1, SETTINGS).models.values()} == set(get_args(Capability))


@pytest.mark.parametrize(
    ("alias", "spoken"),
    [
        ("prometheus-core", {"openai", "anthropic", "gemini"}),
        ("prometheus-vision", {"openai", "anthropic", "gemini"}),
        ("prometheus-atlas", {"openai", "gemini"}),
        ("prometheus-echo", {"openai"}),
    ],
)
def test_an_alias_speaks_the_formats_of_its_endpoints(alias: str, spoken: set[str]) -> None:
    config = demo_config(1, SETTINGS)
    upstreams = [config.upstreams[split_target(target)[0]] for target in config.models[alias].targets]
    assert {dialect for upstream in upstreams for dialect in PRESETS[upstream.kind].dialects} == spoken


def test_the_config_is_not_odd() -> None:
    assert list(warnings(demo_config(1, SETTINGS))) == []


def test_the_gateways_own_listener_can_be_given() -> None:
    assert demo_config(1, SETTINGS, Server(port=9)).server.port == 9


@pytest.mark.parametrize("name", ["demo-core", "demo-core-2026-09-02"])
def test_a_model_is_found_with_and_without_its_date(name: str) -> None:
    assert find_model(name, TEXT, "x").name == "demo-core-2026-09-02"


@pytest.mark.parametrize("name", ["", "demo", "prometheus-core", "demo-core-2026-09-03"])
def test_no_other_name_finds_a_model(name: str) -> None:
    with pytest.raises(ModelNotFound):
        find_model(name, TEXT, "x")


def test_a_model_for_something_else_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="embeddings"):
        find_model("demo-atlas", TEXT, "x")
