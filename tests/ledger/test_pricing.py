"""What a request costs: exact, rounded once, and never 0 when it is not known."""

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.tree import Price
from proxy.errors import ConfigFault
from proxy.ledger.pricing import CompiledPrice, compile_price, cost_of, cost_of_parts
from proxy.wire.schemas import Usage

FULL = Price(input=Decimal("1.10"), output=Decimal("4.40"), cached_input=Decimal("0.11"), cache_write=Decimal("1.375"))


def cost(price: CompiledPrice | None, **counts: int) -> int | None:
    """The cost of a usage, which both ways of computing it agree on."""
    usage = msgspec.structs.replace(Usage(), **counts)
    result = cost_of(
        price,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.audio_milliseconds,
        usage.images,
    )
    assert cost_of_parts(price, usage)[0] == result
    return result


@pytest.mark.parametrize(
    ("price", "counts", "expected"),
    [
        (FULL, {"input_tokens": 1_000_000}, 1_100_000_000),
        (FULL, {"output_tokens": 1}, 4_400),
        (FULL, {"input_tokens": 100, "cached_input_tokens": 60, "cache_write_tokens": 40}, 60 * 110 + 40 * 1_375),
        (Price(input=Decimal(2)), {"input_tokens": 10, "cached_input_tokens": 9, "cache_write_tokens": 1}, 20_000),
        (Price(minute=Decimal("0.006")), {"audio_milliseconds": 90_000}, 9_000_000),
        (Price(image=Decimal("0.04")), {"images": 3}, 120_000_000),
        (FULL, {}, 0),
        (Price(), {}, 0),
        (Price(input=Decimal(1)), {"input_tokens": 5, "output_tokens": 1}, None),
        (Price(output=Decimal(1)), {"input_tokens": 5}, None),
        (Price(output=Decimal(1), cached_input=Decimal(1)), {"input_tokens": 5, "cached_input_tokens": 5}, 5_000),
        (FULL, {"audio_milliseconds": 1_000}, None),
        (FULL, {"images": 1}, None),
        (FULL, {"input_tokens": 1, "audio_milliseconds": 1_000, "images": 1}, 1_100),
        (Price(input=Decimal(0)), {"input_tokens": 5}, 0),
        (FULL, {"input_tokens": 10, "cached_input_tokens": 20}, 2_200),
    ],
)
def test_cost(price: Price, counts: dict[str, int], expected: int | None) -> None:
    assert cost(compile_price(price), **counts) == expected


def test_no_price_is_unpriced() -> None:
    assert cost(None, input_tokens=1) is None


@pytest.mark.parametrize(("tokens", "expected"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_halves_are_rounded_to_even(tokens: int, expected: int) -> None:
    assert cost(compile_price(Price(input=Decimal("0.0005"))), input_tokens=tokens) == expected


_prices = st.decimals(min_value=0, max_value=10_000, places=9)
_counts = st.integers(min_value=0, max_value=10**9)


@given(_prices, _prices, _prices, _counts, _counts, _counts)
def test_cost_equals_exact_arithmetic_rounded_once(
    each_in: Decimal, each_out: Decimal, minute: Decimal, tokens_in: int, tokens_out: int, audio: int
) -> None:
    exact = (
        Fraction(each_in) * tokens_in / 1_000_000
        + Fraction(each_out) * tokens_out / 1_000_000
        + Fraction(minute) * audio / 60_000
    )
    compiled = compile_price(Price(input=each_in, output=each_out, minute=minute))
    found = cost(compiled, input_tokens=tokens_in, output_tokens=tokens_out, audio_milliseconds=audio)
    assert found == round(exact * 10**9)


@pytest.mark.parametrize("price", ["0.0000000001", "-1", "NaN", "Infinity", "1000000", "1E-400000"])
def test_prices_that_cannot_be_meant_are_refused(price: str) -> None:
    with pytest.raises(ConfigFault, match=r"price\.input"):
        compile_price(Price(input=Decimal(price)))


def test_trailing_zeros_are_no_digits() -> None:
    compiled = compile_price(Price(input=Decimal("1.10000000000000")))
    assert cost(compiled, input_tokens=1) == 1_100
