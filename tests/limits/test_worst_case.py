"""What a request may cost: by its own cap, by what is usual, by the minute and by the image."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from proxy.config.tree import Price, TierPrice
from proxy.ledger.estimator import Estimator
from proxy.ledger.pricing import compile_price
from proxy.limits.worst_case import (
    MAX_CHOICES,
    MEDIA_TOKENS,
    OutputSizes,
    RequestSize,
    choices_of,
    input_tokens_of,
    output_cap_of,
    size_of,
    worst_cost,
)
from proxy.wire.schemas import MAX_COUNT, Body


def fields(**values: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}


@pytest.mark.parametrize(
    ("body", "cap"),
    [
        ({}, 0),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 9),
        ({"max_output_tokens": 5}, 5),
        ({"generationConfig": {"temperature": 1, "maxOutputTokens": 6}}, 6),
        ({"generation_config": {"max_output_tokens": 6}}, 6),
        ({"max_tokens": None}, 0),
        ({"max_tokens": -1}, 0),
        # What a provider may read as a number is one.
        ({"max_tokens": "9"}, 9),
        ({"max_tokens": 1.5}, 2),
        ({"max_tokens": 1e6}, 1_000_000),
        ({"max_tokens": 10**30}, MAX_COUNT),
        ({"max_tokens": 10**500}, MAX_COUNT),
        ({"max_tokens": 1e300}, MAX_COUNT),
        ({"max_tokens": -1e300}, 0),
        ({"max_tokens": "nan"}, 0),
        ({"max_tokens": "many"}, 0),
        ({"max_tokens": [9]}, 0),
        ({"generationConfig": {"maxOutputTokens": 1.5e5}}, 150_000),
        ({"generationConfig": {"maxOutputTokens": "2000"}}, 2_000),
        ({"generationConfig": {"maxOutputTokens": 10**11}}, 10**11),
        ({"generationConfig": {"maxOutputTokens": None}}, 0),
    ],
)
def test_the_cap_of_the_output_in_each_dialect(body: dict[str, Any], cap: int) -> None:
    assert output_cap_of(fields(**body)) == cap


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"n": 2, "best_of": 5}, 5),
        ({"n": 0}, 1),
        ({"n": 10**9}, MAX_CHOICES),
        ({"n": 2.0}, 2),
        ({"generationConfig": {"candidateCount": 4}}, 4),
        # Each prompt has choices of its own.
        ({"prompt": "one"}, 1),
        ({"prompt": []}, 1),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": ["one", 'two, "three", "four"'], "n": 3}, 6),
        ({"prompt": [[1, 2], [3], [4, 5]], "n": 2}, 6),
        ({"prompt": ["a"] * 65_536}, 65_536),
        ({"prompt": [float("inf")]}, 1),
    ],
)
def test_how_many_choices(body: dict[str, Any], count: int) -> None:
    assert choices_of(fields(**body)) == count


CHAT = compile_price(
    Price(input=Decimal(1), output=Decimal(2), tiers={"flex": TierPrice(input=Decimal(0), output=Decimal(1))})
)


@pytest.mark.parametrize(
    ("price", "capability", "body", "audio", "cost"),
    [
        (CHAT, "chat", {"max_tokens": 10}, 0, 100_000 + 20_000),
        (CHAT, "chat", {"max_tokens": 10, "n": 2}, 0, 100_000 + 40_000),
        (CHAT, "chat", {}, 0, 100_000 + 1_000_000),
        (CHAT, "chat", {"max_tokens": 10, "service_tier": "flex"}, 0, 10_000),
        (CHAT, "chat", {"max_tokens": 10, "service_tier": "auto"}, 0, 120_000),
        (None, "chat", {}, 0, None),
        (compile_price(Price(input=Decimal(1))), "chat", {}, 0, None),
        (compile_price(Price(input=Decimal(1))), "embeddings", {}, 0, 100_000),
        (compile_price(Price(image=Decimal("0.04"))), "image", {"n": 3}, 0, 120_000_000),
        # A minute is 60,000 ms of 8 bytes, and the one that the estimate is rounded up by.
        (compile_price(Price(minute=Decimal("0.006"))), "audio", {}, 480_000, 6_000_100),
        (compile_price(Price(minute=Decimal("0.006"))), "audio", {}, 0, 1),
        (compile_price(Price(search_unit=Decimal(2))), "rerank", {}, 0, 2_000_000),
        (compile_price(Price(input=Decimal(1), output=Decimal(0))), "audio", {}, 8_000, 11_000),
    ],
)
def test_the_worst_cost(price: Any, capability: str, body: dict[str, Any], audio: int, cost: int | None) -> None:
    found = fields(**body)
    size = RequestSize("alias", 100, output_cap_of(found), choices_of(found))
    assert worst_cost(price, capability, found, size, 500, audio) == cost


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ({"messages": "x" * 98}, (100, 0, 1)),
        ({"messages": "x" * 98, "max_tokens": 7, "n": 2}, (100, 7, 2)),
        ({"messages": "x" * 98, "n": 2}, (100, 0, 2)),
        ({"prompt": ["a", "b"]}, (100, 0, 2)),
        ({"generationConfig": {"maxOutputTokens": 6, "candidateCount": 3}}, (100, 6, 3)),
        ({"generation_config": {"max_output_tokens": 6}}, (100, 6, 1)),
    ],
)
def test_the_size_of_a_request(body: dict[str, Any], size: tuple[int, int, int]) -> None:
    found = size_of(Body(fields(**body), "m", False, False, data=b"x" * 400), Estimator(), "key", "alias")
    assert (found.input_tokens, found.output_cap, found.choices) == size


def test_an_image_in_a_body_is_no_text() -> None:
    image = b'{"url":"data:image/png;base64,' + b"QUJD" * 50_000 + b'"}'
    tokens = input_tokens_of(image, Estimator(), "key", "alias")
    assert MEDIA_TOKENS <= tokens < MEDIA_TOKENS + 100
    source = b'{"type":"base64","data":"' + b"QUJD" * 50_000 + b'"}'
    assert input_tokens_of(source, Estimator(), "key", "alias") < 20_000
    assert input_tokens_of(b"x" * 200_000, Estimator(), "key", "alias") == 50_000


def test_it_learns_what_nine_of_ten_responses_stay_under() -> None:
    sizes = OutputSizes()
    for number in range(3_000):
        sizes.observe(900 if number % 10 == 0 else 100, 0, stream=False)
    assert 100 <= sizes.tokens <= 1_000
    for _ in range(3_000):
        sizes.observe(50, 0, stream=False)
    assert 45 <= sizes.tokens <= 60


def test_it_learns_the_bytes_of_a_streamed_token() -> None:
    sizes = OutputSizes()
    assert sizes.tokens_of_stream(2_200) == 10
    for _ in range(1_000):
        sizes.observe(100, 5_000, stream=True)
    assert sizes.tokens_of_stream(5_000) == pytest.approx(100, abs=2)
