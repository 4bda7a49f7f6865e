"""Prices and what a request costs: exact decimals become integers once, at load time.

Pure: no clock, no file, no float. Money is nano-dollars (10^-9 USD).
"""

import math
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Final, Protocol

from proxy.config.tree import Price, TierPrice
from proxy.errors import ConfigFault
from proxy.wire import schemas as wire

#: Digits after the point that a price may have: one unit of the ninth is one nano-dollar.
PRICE_DIGITS = 9
#: A price at or above this (USD) is taken for a slip of the pen.
PRICE_LIMIT = 1_000_000

# Tokens are priced per 10^6 and audio per 60,000 ms. 3,000,000 is the least common multiple of the two, so all parts
# of a bill are added as integers over it and rounded once.
_SCALE: Final = 3_000_000
_PER_TOKEN = _SCALE // 1_000_000
_PER_MILLISECOND = _SCALE // 60_000
_EACH_OF_THOUSAND = _SCALE // 1_000
_NO_PARTS: Final = wire.Parts()
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
class PartPrices:
    """The prices of what few answers have, by the same scale; None is "no price"."""

    cache_write_1h: int | None
    audio_input: int | None
    audio_output: int | None
    image_input: int | None
    image_output: int | None
    #: A search of the web, or a search unit: no alias has both.
    search: int | None
    tool_call: int | None
    advisor_input: int | None
    advisor_output: int | None


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
    parts: PartPrices
    #: By the name of a service tier.
    tiers: "dict[str, CompiledPrice]"


def compile_price(price: Price, capability: str = "") -> CompiledPrice:
    """Turn the decimals of the configuration into integers; the capability says what stands in for what has no price.

    Raises ConfigFault when a price is negative, not a number, has more than nine decimals or is a million USD or more.
    """
    tiers = {name: _compiled(tier, price, capability, {}) for name, tier in (price.tiers or {}).items()}
    return _compiled(price, price, capability, tiers)


def _compiled(tokens: TierPrice, others: Price, capability: str, tiers: "dict[str, CompiledPrice]") -> CompiledPrice:
    """The prices of a tier's tokens, with the alias's own for what no tier changes."""
    plain = _scaled("input", tokens.input, _PER_TOKEN)
    produced = _scaled("output", tokens.output, _PER_TOKEN)
    each = (
        plain,
        _scaled("cached_input", tokens.cached_input, _PER_TOKEN, plain),
        _scaled("cache_write", tokens.cache_write, _PER_TOKEN, plain),
        produced,
        _scaled("minute", others.minute, _PER_MILLISECOND),
        _scaled("image", others.image, _SCALE),
    )
    parts = (
        _scaled("cache_write_1h", tokens.cache_write_1h, _PER_TOKEN),
        _scaled("audio_input", tokens.audio_input, _PER_TOKEN, plain if capability == "audio" else None),
        _scaled("audio_output", tokens.audio_output, _PER_TOKEN, produced if capability == "speech" else None),
        _scaled("image_input", tokens.image_input, _PER_TOKEN, plain),
        _scaled("image_output", tokens.image_output, _PER_TOKEN, produced if capability == "image" else None),
        _scaled("web_search", others.web_search, _EACH_OF_THOUSAND)
        if others.search_unit is None
        else _scaled("search_unit", others.search_unit, _EACH_OF_THOUSAND),
        _scaled("tool_call", others.tool_call, _EACH_OF_THOUSAND),
        _scaled("advisor_input", others.advisor_input, _PER_TOKEN),
        _scaled("advisor_output", others.advisor_output, _PER_TOKEN),
    )
    common = math.gcd(_SCALE, *[one for one in (*each, *parts) if one is not None])
    whole = [None if one is None else one // common for one in each]
    apart = PartPrices(*[None if one is None else one // common for one in parts])
    return CompiledPrice(_SCALE // common, whole[0], whole[1], whole[2], whole[3], whole[4], whole[5], apart, tiers)


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


def cost_of_parts(price: CompiledPrice | None, usage: wire.Usage) -> tuple[int | None, str]:
    """The same with all that is billed apart; where the cost is not known, also what has no price."""
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
    given, produced = usage.input_tokens, usage.output_tokens
    cached, written = usage.cached_input_tokens, usage.cache_write_tokens
    hour, audio_in, image_in = parts.cache_write_1h_tokens, parts.audio_input_tokens, parts.image_input_tokens
    audio_out, image_out = parts.audio_output_tokens, parts.image_output_tokens
    items = [
        ("input", max(given - cached - written - audio_in - image_in, 0), price.input),
        ("cached_input", cached, price.cached_input),
        ("cache_write", max(written - hour, 0), price.cache_write),
        ("cache_write_1h", hour, apart.cache_write_1h),
        ("audio_input", audio_in, apart.audio_input),
        ("image_input", image_in, apart.image_input),
        ("output", max(produced - audio_out - image_out, 0), price.output),
        ("audio_output", audio_out, apart.audio_output),
        ("image_output", image_out, apart.image_output),
        ("web_search", parts.searches, apart.search),
        ("tool_call", parts.tool_calls, apart.tool_call),
        ("advisor_input", parts.advisor_input_tokens, apart.advisor_input),
        ("advisor_output", parts.advisor_output_tokens, apart.advisor_output),
    ]
    if price.millisecond is not None or not (given or produced):
        items.append(("minute", usage.audio_milliseconds, price.millisecond))
    if price.image is not None or not (given or produced):
        items.append(("image", usage.images, price.image))
    lacking = [name for name, number, one in items if number and one is None]
    if lacking:
        return None, ", ".join(lacking)
    # Half to even, as above.
    return round(Fraction(sum([number * (one or 0) for _, number, one in items]), price.scale)), ""


def _scaled(name: str, price: Decimal | None, factor: int, otherwise: int | None = None) -> int | None:
    """A price as an integer; `otherwise` where there is none."""
    if price is None:
        return otherwise
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
