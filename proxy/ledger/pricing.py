"""Prices and what a request costs: exact decimals become integers once, at load time.

Pure: no clock, no file, no float. Money is nano-dollars (10^-9 USD).
"""

import math
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from typing import Final, Protocol

from proxy.config.tree import Price
from proxy.errors import ConfigFault

#: Digits after the point that a price may have: one unit of the ninth is one nano-dollar.
PRICE_DIGITS = 9
#: A price at or above this (USD) is taken for a slip of the pen.
PRICE_LIMIT = 1_000_000

# Tokens are priced per 10^6 and audio per 60,000 ms. 3,000,000 is the least common multiple of the two, so all parts
# of a bill are added as integers over it and rounded once.
_SCALE: Final = 3_000_000
_PER_TOKEN = _SCALE // 1_000_000
_PER_MILLISECOND = _SCALE // 60_000
_NANO = Decimal("0.000000001")


class Usage(Protocol):
    """What a request used; a `Final` is one."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def cached_input_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def audio_milliseconds(self) -> int: ...
    @property
    def images(self) -> int: ...


@dataclass(frozen=True, eq=False, slots=True)
class CompiledPrice:
    """A price in nano-dollars times `scale` per token, millisecond or image; None is "no price"."""

    #: The least number by which all of them become whole; 1 for most, so that bills are sums of small numbers.
    scale: int
    input: int | None
    cached_input: int | None
    cache_write: int | None
    output: int | None
    millisecond: int | None
    image: int | None


def compile_price(price: Price) -> CompiledPrice:
    """Turn the decimals of the configuration into integers.

    Raises ConfigFault when a price is negative, not a number, has more than nine decimals or is a million USD or more.
    """
    plain = _scaled("input", price.input, _PER_TOKEN)
    cached = _scaled("cached_input", price.cached_input, _PER_TOKEN)
    written = _scaled("cache_write", price.cache_write, _PER_TOKEN)
    each = (
        plain,
        plain if cached is None else cached,
        plain if written is None else written,
        _scaled("output", price.output, _PER_TOKEN),
        _scaled("minute", price.minute, _PER_MILLISECOND),
        _scaled("image", price.image, _SCALE),
    )
    common = math.gcd(_SCALE, *[one for one in each if one is not None])
    return CompiledPrice(_SCALE // common, *[None if one is None else one // common for one in each])


def cost(price: CompiledPrice | None, usage: Usage) -> int | None:
    """The cost in nano-dollars, rounded half to even once; None when it is not known (`unpriced`), which is not 0.

    `input_tokens` includes those read from and written to a cache. Kinds that were not used need no price. A model
    whose audio or images are counted in its tokens needs no price by the minute or by the image on top.
    """
    return cost_of(
        price,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.audio_milliseconds,
        usage.images,
    )


def cost_of(
    price: CompiledPrice | None, given: int, cached: int, written: int, produced: int, audio: int, images: int
) -> int | None:
    """The same for the counts themselves, in the order in which `Usage` has them."""
    if price is None:
        return None
    # Never below 0: an upstream that counts its cached tokens beside the input, not in it, must not earn a discount.
    plain = max(given - cached - written, 0)
    sum_ = 0
    if plain:
        if price.input is None:
            return None
        sum_ += plain * price.input
    if cached:
        if price.cached_input is None:
            return None
        sum_ += cached * price.cached_input
    if written:
        if price.cache_write is None:
            return None
        sum_ += written * price.cache_write
    if produced:
        if price.output is None:
            return None
        sum_ += produced * price.output
    in_tokens = bool(plain or cached or written or produced)
    if audio:
        if price.millisecond is not None:
            sum_ += audio * price.millisecond
        elif not in_tokens:
            return None
    if images:
        if price.image is not None:
            sum_ += images * price.image
        elif not in_tokens:
            return None
    scale = price.scale
    whole = sum_ // scale
    twice = 2 * (sum_ - whole * scale)
    if twice > scale or (twice == scale and whole % 2):
        whole += 1
    return whole


def _scaled(name: str, price: Decimal | None, factor: int) -> int | None:
    if price is None:
        return None
    if not price.is_finite() or price < 0:
        raise ConfigFault(f'price.{name} = {price}: a price is a decimal number, 0 or more, in quotes, such as "1.10"')
    if price >= PRICE_LIMIT:
        raise ConfigFault(
            f"price.{name} = {price}: that is {PRICE_LIMIT:,} USD or more; prices are USD per million tokens, "
            "per minute of audio, or per image"
        )
    try:
        nano = price.quantize(_NANO, context=Context(prec=30, traps=[Inexact]))
    except Inexact as error:
        raise ConfigFault(f"price.{name} = {price}: at most {PRICE_DIGITS} digits may follow the point") from error
    return int(nano.scaleb(PRICE_DIGITS)) * factor
