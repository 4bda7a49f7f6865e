"""The facts: prices as they are configured, and the endpoints at which an alias can be called."""

from decimal import Decimal

from proxy.config.tree import Price, TierPrice
from tests.pages.documentation.serving import facts, model

PRICE = Price(
    input=Decimal("2"),
    output=Decimal("8.5"),
    cached_input=Decimal("0.125"),
    cache_write=Decimal("2"),
    web_search=Decimal("10"),
    tiers={"batch": TierPrice(input=Decimal("1"))},
)


def test_every_price_that_says_something_is_there() -> None:
    alias = facts({"a": model(price=PRICE)}).aliases[0]
    assert alias.price == (
        "$2.00/1M in, $8.50/1M out, $0.125/1M cached in, $10.00/1,000 web searches, $1.00/1M in (batch)"
    )
    assert (alias.column("input"), alias.column("output")) == ("$2.00 / 1M", "$8.50 / 1M")
    assert alias.column("other") == "cached input $0.125 / 1M, web searches $10.00 / 1,000, batch: input $1.00 / 1M"


def test_a_price_of_nothing_and_no_price_are_two_things() -> None:
    found = facts({"free": model(price=Price(input=Decimal("0"))), "bare": model()}).aliases
    assert [alias.price for alias in found] == ["no charge", "no price set"]


def test_audio_and_images_have_their_units() -> None:
    found = facts(
        {
            "ear": model("audio", price=Price(minute=Decimal("0.006"))),
            "brush": model("image", price=Price(image=Decimal("0.04"))),
        }
    ).aliases
    assert [alias.price for alias in found] == ["$0.006/min", "$0.04/image"]
    assert (found[0].column("input"), found[1].column("output")) == ("$0.006 / minute", "$0.04 / image")


def test_an_alias_has_the_endpoints_of_its_formats_alone() -> None:
    found = facts({"a": model(translate="off")}, kinds=("anthropic",))
    assert found.aliases[0].paths == ("/v1/messages", "/v1/messages/count_tokens")
    assert [one.path for one in found.endpoints] == ["/v1/messages", "/v1/messages/count_tokens"]
    assert found.endpoints[0].is_usual
    assert found.default_chat is None


def test_an_alias_has_the_endpoints_that_are_translated_too() -> None:
    found = facts({"a": model()}, kinds=("anthropic",))
    assert found.aliases[0].paths == ("/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens")
    assert found.default_chat is not None


def test_the_default_for_chat_is_the_core_or_else_the_first() -> None:
    core, first = facts().default_chat, facts({"b": model(), "a": model("vision")}).default_chat
    assert core is not None
    assert first is not None
    assert (core.name, first.name) == ("prometheus-core", "b")


def test_what_is_not_configured_follows_from_the_capability() -> None:
    alias = facts({"a": model("vision", use="Photos.")}).aliases[0]
    assert (alias.title, alias.use, alias.summary, alias.kind) == ("Vision chat", "Photos.", "Photos.", "chat")


def test_no_upstream_is_named() -> None:
    found = facts({"a": model(price=PRICE)})
    assert "vendor" not in repr(found)
