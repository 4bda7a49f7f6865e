"""Compiles prices and computes the cost of a request: exact decimals become integers once, at load time.

Pure: no clock, no file, no float. Money is nano-dollars (10^-9 USD).
"""

import math
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Final

from proxy.config.tree import Price, TierPrice
from proxy.errors import ConfigFault
from proxy.wire import schemas as wire

#: Maximum of decimals of a price: one unit of the ninth is one nano-dollar.
MAX_PRICE_DECIMALS = 9
#: A price at or above this is taken for a typing error.
MAX_PRICE_DOLLARS = 1_000_000

# Tokens are priced per 10^6 and audio per 60,000 ms. 3,000,000 is the least common multiple of the two, so all parts of
# a cost are added as integers over it and rounded once.
_SCALE: Final = 3_000_000
_PER_TOKEN = _SCALE // 1_000_000
_PER_MILLISECOND = _SCALE // 60_000
_PER_ONE_OF_THOUSAND = _SCALE // 1_000
_NO_PARTS: Final = wire.Parts()
_NANO = Decimal("0.000000001")


@dataclass(frozen=True, eq=False, slots=True)
class PartPrices:
    """Prices of what few requests use, in the scale of their CompiledPrice; None is "no price"."""

    cache_write_1h: int | None
    audio_input: int | None
    audio_output: int | None
    image_input: int | None
    image_output: int | None
    #: A web search or a search unit: no alias has both.
    search: int | None
    tool_call: int | None
    advisor_input: int | None
    advisor_output: int | None


@dataclass(frozen=True, eq=False, slots=True)
class CompiledPrice:
    """A price in nano-dollars times `scale` per token, millisecond or image; None is "no price"."""

    #: The least factor that makes all of them integers; 1 for most, so that costs are sums of small integers.
    scale: int
    input: int | None
    cached_input: int | None
    cache_write: int | None
    output: int | None
    millisecond: int | None
    image: int | None
    parts: PartPrices
    #: By the name of a service tier.
    tiers: "dict[str, CompiledPrice]"


def compile_price(price: Price, capability: str = "") -> CompiledPrice:
    """Compile the decimals of the configuration; the capability decides which price stands in for a missing one.

    Raises ConfigFault when a price is negative, not finite, has more than nine decimals or is a million USD or more.
    """
    tiers = {name: _compiled(tier, price, capability, {}) for name, tier in (price.tiers or {}).items()}
    return _compiled(price, price, capability, tiers)


def _compiled(tokens: TierPrice, others: Price, capability: str, tiers: "dict[str, CompiledPrice]") -> CompiledPrice:
    """Compile the token prices of a tier, with the alias's own prices for everything else."""
    input_price = _scaled("input", tokens.input, _PER_TOKEN)
    output_price = _scaled("output", tokens.output, _PER_TOKEN)
    common = (
        input_price,
        _scaled("cached_input", tokens.cached_input, _PER_TOKEN, input_price),
        _scaled("cache_write", tokens.cache_write, _PER_TOKEN, input_price),
        output_price,
        _scaled("minute", others.minute, _PER_MILLISECOND),
        _scaled("image", others.image, _SCALE),
    )
    parts = (
        _scaled("cache_write_1h", tokens.cache_write_1h, _PER_TOKEN),
        _scaled("audio_input", tokens.audio_input, _PER_TOKEN, input_price if capability == "audio" else None),
        _scaled("audio_output", tokens.audio_output, _PER_TOKEN, output_price if capability == "speech" else None),
        _scaled("image_input", tokens.image_input, _PER_TOKEN, input_price),
        _scaled("image_output", tokens.image_output, _PER_TOKEN, output_price if capability == "image" else None),
        _scaled("web_search", others.web_search, _PER_ONE_OF_THOUSAND)
        if others.search_unit is None
        else _scaled("search_unit", others.search_unit, _PER_ONE_OF_THOUSAND),
        _scaled("tool_call", others.tool_call, _PER_ONE_OF_THOUSAND),
        _scaled("advisor_input", others.advisor_input, _PER_TOKEN),
        _scaled("advisor_output", others.advisor_output, _PER_TOKEN),
    )
    divisor = math.gcd(_SCALE, *[price for price in (*common, *parts) if price is not None])
    reduced = [None if price is None else price // divisor for price in common]
    part_prices = PartPrices(*[None if price is None else price // divisor for price in parts])
    return CompiledPrice(
        _SCALE // divisor, reduced[0], reduced[1], reduced[2], reduced[3], reduced[4], reduced[5], part_prices, tiers
    )


def cost_of(
    price: CompiledPrice | None,
    input_tokens: int,
    cached: int,
    cache_write: int,
    output_tokens: int,
    audio_milliseconds: int,
    images: int,
) -> int | None:
    """The cost in nano-dollars, rounded half to even once; None when it is not known (`unpriced`), which is not 0.

    `input_tokens` includes tokens read from and written to a cache. What was not used needs no price. A model whose
    audio or images are counted in its tokens needs no price by the minute or by the image on top.
    """
    if price is None:
        return None
    # Never below 0: an upstream that counts cached tokens beside the input, not in it, must not get a discount.
    plain = max(input_tokens - cached - cache_write, 0)
    total = 0
    if plain:
        if price.input is None:
            return None
        total += plain * price.input
    if cached:
        if price.cached_input is None:
            return None
        total += cached * price.cached_input
    if cache_write:
        if price.cache_write is None:
            return None
        total += cache_write * price.cache_write
    if output_tokens:
        if price.output is None:
            return None
        total += output_tokens * price.output
    has_tokens = bool(plain or cached or cache_write or output_tokens)
    if audio_milliseconds:
        if price.millisecond is not None:
            total += audio_milliseconds * price.millisecond
        elif not has_tokens:
            return None
    if images:
        if price.image is not None:
            total += images * price.image
        elif not has_tokens:
            return None
    scale = price.scale
    whole = total // scale
    twice = 2 * (total - whole * scale)
    if twice > scale or (twice == scale and whole % 2):
        whole += 1
    return whole


def cost_of_parts(price: CompiledPrice | None, usage: wire.Usage) -> tuple[int | None, str]:
    """The cost as in `cost_of`, of all parts of a usage; where it is not known, with the names of missing prices."""
    if price is None:
        return None, ""
    parts = usage.parts or _NO_PARTS
    tier = parts.service_tier
    if tier:
        tiered = price.tiers.get(tier)
        if tiered is None:
            return None, f"tiers.{tier}"
        price = tiered
    apart = price.parts
    input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
    cached, cache_write = usage.cached_input_tokens, usage.cache_write_tokens
    hour, audio_in, image_in = parts.cache_write_1h_tokens, parts.audio_input_tokens, parts.image_input_tokens
    audio_out, image_out = parts.audio_output_tokens, parts.image_output_tokens
    items = [
        ("input", max(input_tokens - cached - cache_write - audio_in - image_in, 0), price.input),
        ("cached_input", cached, price.cached_input),
        ("cache_write", max(cache_write - hour, 0), price.cache_write),
        ("cache_write_1h", hour, apart.cache_write_1h),
        ("audio_input", audio_in, apart.audio_input),
        ("image_input", image_in, apart.image_input),
        ("output", max(output_tokens - audio_out - image_out, 0), price.output),
        ("audio_output", audio_out, apart.audio_output),
        ("image_output", image_out, apart.image_output),
        ("web_search", parts.searches, apart.search),
        ("tool_call", parts.tool_calls, apart.tool_call),
        ("advisor_input", parts.advisor_input_tokens, apart.advisor_input),
        ("advisor_output", parts.advisor_output_tokens, apart.advisor_output),
    ]
    if price.millisecond is not None or not (input_tokens or output_tokens):
        items.append(("minute", usage.audio_milliseconds, price.millisecond))
    if price.image is not None or not (input_tokens or output_tokens):
        items.append(("image", usage.images, price.image))
    missing = [name for name, count, each in items if count and each is None]
    if missing:
        return None, ", ".join(missing)
    # `round` rounds half to even.
    return round(Fraction(sum([count * (each or 0) for _, count, each in items]), price.scale)), ""


def _scaled(name: str, price: Decimal | None, factor: int, default: int | None = None) -> int | None:
    """A price as an integer; `default` where there is none."""
    if price is None:
        return default
    if not price.is_finite() or price < 0:
        raise ConfigFault(f'price.{name} = {price}: a price is a decimal number, 0 or more, in quotes, such as "1.10"')
    if price >= MAX_PRICE_DOLLARS:
        raise ConfigFault(
            f"price.{name} = {price}: that is {MAX_PRICE_DOLLARS:,} USD or more; prices are USD per million tokens, "
            "per minute of audio, or per image"
        )
    try:
        nano = price.quantize(_NANO, context=Context(prec=30, traps=[Inexact]))
    except Inexact as error:
        raise ConfigFault(
            f"price.{name} = {price}: at most {MAX_PRICE_DECIMALS} digits may follow the point"
        ) from error
    return int(nano.scaleb(MAX_PRICE_DECIMALS)) * factor
