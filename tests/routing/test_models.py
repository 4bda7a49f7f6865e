"""Aliases: what is compiled of `[models.ALIAS]`."""

from decimal import Decimal

from proxy.config.tree import Price
from tests.routing.samples import alias_of, names


def test_the_targets_are_those_of_the_configuration_in_its_order() -> None:
    assert names(alias_of("b", "a").targets) == ["b", "a"]


def test_what_an_alias_does_not_set_is_as_for_the_whole_server() -> None:
    alias = alias_of("a")
    assert (alias.total_timeout, alias.on_disconnect, alias.price) == (3600.0, "cancel", None)


def test_what_it_sets_goes_first() -> None:
    alias = alias_of("a", model={"total_timeout": 5.0, "on_disconnect": "drain", "price": Price(input=Decimal(1))})
    assert (alias.total_timeout, alias.on_disconnect) == (5.0, "drain")
    assert alias.price is not None


def test_only_targets_that_speak_the_dialect_serve_it() -> None:
    alias = alias_of("a", "b")
    assert names(alias.speaking("openai", "/v1/chat/completions")) == ["a", "b"]
    assert alias.speaking("gemini", "/v1/chat/completions") == ()
