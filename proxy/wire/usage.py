"""Reads token usage from responses: one value from all the spellings that OpenAI-like servers have.

Only reads. Of several spellings, and of several usage objects of one stream, a count that is missing, 0 or absurd never
replaces one above 0; what no count was given for is marked as not known, and is never taken for 0.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

import msgspec

from proxy.wire.schemas import DECODE_ERRORS, MAX_COUNT, MAX_NANO_DOLLARS, Parts, Usage, decode_plain

_decoder = msgspec.json.Decoder(dict[str, Any])
_string = msgspec.json.Decoder(str)
#: Characters of a service tier that are kept.
_MAX_TIER_CHARACTERS: Final = 32
#: Seconds of audio beyond which a length is no length.
_MAX_SECONDS: Final = 10**9
_NANO: Final = Decimal(10**9)
#: xAI's unit of money: ten of them are a nano-dollar.
_TICKS: Final = Decimal("0.1")
#: Counts of tokens, of which one at least stands in a usage object that is billed by tokens.
_TOKENS: Final = frozenset({"input", "output", "total", "thoughts", "more_input", "more_output"})
#: What else is billed; 0 of it says nothing.
_OTHERS: Final = ("milliseconds", "searches", "tool_calls", "cost")
#: Tools of Anthropic's that cost nothing but their tokens.
_FREE_TOOLS: Final = frozenset({"web_fetch_requests", "tool_search_requests"})
#: Names of the tier that is meant where none is named: its prices are the alias's own.
STANDARD_TIERS: Final = frozenset(
    {
        *("", "auto", "default", "standard", "standard_only", "on_demand"),
        *("unspecified", "service_tier_unspecified", "traffic_type_unspecified"),
    }
)
#: The same of the places where a response may be made.
_STANDARD_PLACES: Final = frozenset({"", "global", "not_available"})
_COMPACTION: Final = (
    ("more_input", "input_tokens"),
    ("more_cached", "cache_read_input_tokens"),
    ("more_written", "cache_creation_input_tokens"),
    ("more_output", "output_tokens"),
)
_ADVISOR: Final = (
    ("advisor_input", "input_tokens"),
    ("advisor_input", "cache_read_input_tokens"),
    ("advisor_input", "cache_creation_input_tokens"),
    ("advisor_output", "output_tokens"),
)
_NO_PARTS: Final = Parts()
_NO_VALUES: Final[dict[str, Any]] = {}


class Reading:
    """The counts of usage objects by name, in one spelling; those that could not be read are absent.

    `cached` and `written` stand beside `input` where `beside` is set, `tool_input` and `thoughts` always stand beside
    `input` and `output`, and the tokens of a compaction (`more_…`) beside all of them. The service tier, the speed and
    the place change the price of each token; they are empty where they do not.
    """

    __slots__ = ("counts", "place", "speed", "tier")

    def __init__(self, counts: dict[str, int], tier: str = "", speed: str = "", place: str = "") -> None:
        self.counts = counts
        self.tier = tier
        self.speed = speed
        self.place = place

    def under(self, later: "Reading") -> "Reading":
        """Both, in the order in which they came: the later one's counts, but none of 0 for one above 0."""
        counts = dict(self.counts)
        if later.counts.get("input") and later.counts.get("output") and not later.counts.get("total"):
            # The sum of other counts than those that hold now.
            counts.pop("total", None)
        for name, value in later.counts.items():
            if value or name not in counts:
                counts[name] = value
        return Reading(counts, later.tier or self.tier, later.speed or self.speed, later.place or self.place)

    @property
    def tiers(self) -> str:
        """All that changes the price of each token, as one name."""
        return "-".join([one for one in (self.tier, self.speed, self.place) if one])[:_MAX_TIER_CHARACTERS]


def covers(later: bytes, earlier: bytes) -> bool:
    """Whether a usage object has all counts of an earlier one under the same names, so that that need not be kept."""
    try:
        return _covers(_decoder.decode(later), _decoder.decode(earlier))
    except DECODE_ERRORS:
        return False


def _covers(later: dict[str, Any], earlier: dict[str, Any]) -> bool:
    for name, value in earlier.items():
        if not value:
            continue
        found = later.get(name)
        if isinstance(value, dict):
            if not isinstance(found, dict) or not _covers(found, value):
                return False
        elif isinstance(value, int | float):
            if not isinstance(found, int | float) or not 0 < found <= MAX_COUNT:
                return False
        elif not found or type(found) is not type(value):
            return False
    return True


def read_usage(raw: bytes) -> Usage | None:
    """Read a usage object; None when it is none, or says nothing that can be billed.

    Nearly every one is in OpenAI's own spelling, and its counts fit each other; the others are read with more care.
    """
    try:
        plain = decode_plain(raw)
    except DECODE_ERRORS:
        return _read_any(raw)
    given, produced = plain.prompt_tokens, plain.completion_tokens
    if plain.total_tokens != given + produced or not 0 < given <= MAX_COUNT or not 0 <= produced <= MAX_COUNT:
        return _read_any(raw)
    cached = written = reasoning = 0
    asked = plain.prompt_tokens_details
    if asked is not None:
        if asked.audio_tokens or asked.image_tokens:
            return _read_any(raw)
        cached = asked.cached_tokens or 0
        written = asked.cache_write_tokens or asked.created_cache_tokens or asked.cache_creation_tokens or 0
    made = plain.completion_tokens_details
    if made is not None:
        if made.audio_tokens or made.image_tokens:
            return _read_any(raw)
        reasoning = made.reasoning_tokens or made.thinking_tokens or 0
    if cached < 0 or written < 0 or cached + written > given or not 0 <= reasoning <= produced:
        return _read_any(raw)
    return Usage(given, cached, written, produced, reasoning)


def _read_any(raw: bytes) -> Usage | None:
    """Read a usage object in any spelling, with values of any type."""
    return usage_of(reading(raw))


def reading(raw: bytes) -> Reading:
    """The counts of a usage object in any spelling; none where it is no usage object."""
    try:
        values = _decoder.decode(raw)
    except DECODE_ERRORS:
        return Reading({})
    counts: dict[str, int] = {}
    units, tokens = _object(values, "billed_units"), _object(values, "tokens")
    asked = _details(
        values, "prompt_tokens_details", "input_tokens_details", "input_token_details", "prompt_token_details"
    )
    made = _details(
        values,
        "completion_tokens_details",
        "output_tokens_details",
        "output_token_details",
        "completion_token_details",
    )
    # Cohere bills other counts than it counts; the others have one of each.
    _take(counts, "input", (units, "input_tokens"), (values, "prompt_tokens"), (values, "input_tokens"))
    _take(counts, "output", (units, "output_tokens"), (values, "completion_tokens"), (values, "output_tokens"))
    _take(counts, "total", (values, "total_tokens"), (values, "totalTokenCount"))
    if tokens:
        _take(counts, "input", (tokens, "input_tokens"))
        _take(counts, "output", (tokens, "output_tokens"))
    if asked:
        _take(
            counts, "cached", (asked, "cached_tokens"), (asked, "cache_read_tokens"), (asked, "cache_read_input_tokens")
        )
        _take(counts, "written", (asked, "cache_write_tokens"), (asked, "created_cache_tokens"))
        _take(counts, "written", (asked, "cache_creation_tokens"), (asked, "cache_creation_input_tokens"))
        _take(counts, "audio_in", (asked, "audio_tokens"))
        _take(counts, "image_in", (asked, "image_tokens"))
        cached = _object(asked, "cached_tokens_details")
        _take(counts, "cached_audio", (cached, "audio_tokens"))
        _take(counts, "cached_image", (cached, "image_tokens"))
    inside = bool(counts.get("cached") or counts.get("written"))
    _take(
        counts, "cached", (values, "cached_tokens"), (values, "num_cached_tokens"), (values, "prompt_cache_hit_tokens")
    )
    _take(counts, "cached", (values, "cachedContentTokenCount"), (values, "cache_read_input_tokens"))
    _take(counts, "written", (values, "cache_creation_input_tokens"), (values, "cache_write_tokens"))
    if "cache_creation" in values:
        _take_written(counts, values)
    if not inside and not count(values.get("prompt_tokens")):
        for name in ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"):
            if values.get(name) is not None:
                counts["beside"] = 1
    if made:
        _take(counts, "reasoning", (made, "reasoning_tokens"), (made, "thinking_tokens"))
        _take(counts, "audio_out", (made, "audio_tokens"))
        _take(counts, "image_out", (made, "image_tokens"))
    _take(counts, "reasoning", (values, "reasoning_tokens"))
    if b"TokenCount" in raw or b"TokensDetails" in raw:
        _take_gemini(counts, values)
    milliseconds = _milliseconds(values.get("seconds")) or _milliseconds(values.get("prompt_audio_seconds"))
    if milliseconds:
        counts["milliseconds"] = milliseconds
    _take_tools(counts, values, units)
    if "iterations" in values:
        _take_iterations(counts, values["iterations"])
    _take_cost(counts, values)
    place = tier_of(values.get("inference_geo"))
    return Reading(
        counts,
        tier_of(values.get("service_tier") or values.get("serviceTier") or values.get("trafficType")),
        tier_of(values.get("speed")),
        "" if place in _STANDARD_PLACES else place,
    )


def usage_of(read: Reading) -> Usage | None:
    """The usage that these counts make, checked against their total; None where they say nothing."""
    counts = read.counts
    if not _says_something(counts):
        return None
    get = counts.get
    cached, written = get("cached", 0), get("written", 0)
    given, produced = get("input", 0), get("output", 0)
    audio_in, image_in = get("audio_in", 0), get("image_in", 0)
    audio_out, image_out = get("audio_out", 0), get("image_out", 0)
    # Cached tokens that are more than all input cannot be a part of it.
    outside = "beside" in counts or cached + written > given
    if outside:
        given += cached + written
    given += get("tool_input", 0)
    thoughts = get("thoughts", 0)
    produced += thoughts
    reasoning = get("reasoning", 0) or thoughts
    total = get("total", 0)
    input_known, output_known = "input" in counts, "output" in counts or thoughts > 0
    gap = total - given - produced
    if gap > 0 and not given and not produced:
        # A sum whose parts, input and output, are not given.
        given, input_known, output_known = gap, False, False
    elif gap > 0 and not given:
        given, input_known = gap, True
    elif gap > 0 and (
        (not outside and gap in (cached, written, cached + written))
        or get("milliseconds", 0)
        or audio_in + image_in > given
    ):
        given += gap
    elif gap > 0:
        # Reasoning that is counted in the total alone.
        produced, output_known = produced + gap, True
    elif total and given and not gap:
        output_known = True
    # Parts that are more than their whole stand beside it.
    if audio_in + image_in > given:
        given += audio_in + image_in
    hidden = max(reasoning, audio_out + image_out)
    if hidden > produced and total != given + produced:
        produced += hidden
    if produced and not given:
        # Without input there is no output: it was not counted.
        input_known = False
    if _TOKENS.isdisjoint(counts):
        # Billed by other units: no tokens are missing.
        input_known = output_known = "cost" not in counts or len(counts) > 1
    given += get("more_input", 0) + get("more_cached", 0) + get("more_written", 0)
    cached += get("more_cached", 0)
    written += get("more_written", 0)
    produced += get("more_output", 0)
    return Usage(
        input_tokens=min(given, MAX_COUNT),
        cached_input_tokens=min(cached, given, MAX_COUNT),
        cache_write_tokens=min(written, given, MAX_COUNT),
        output_tokens=min(produced, MAX_COUNT),
        reasoning_tokens=reasoning,
        audio_milliseconds=get("milliseconds", 0),
        input_known=input_known,
        output_known=output_known,
        parts=_parts(counts, read.tiers),
    )


def _says_something(counts: dict[str, int]) -> bool:
    return not _TOKENS.isdisjoint(counts) or any(map(counts.get, _OTHERS))


def _parts(counts: dict[str, int], tier: str) -> Parts | None:
    """What is billed apart; None where nothing is."""
    get = counts.get
    written = min(get("written", 0) + get("more_written", 0), MAX_COUNT)
    parts = Parts(
        min(get("written_1h", 0) + get("more_written_1h", 0), written),
        # Those that were read from the cache are priced as such.
        max(get("audio_in", 0) - get("cached_audio", 0), 0),
        get("audio_out", 0),
        max(get("image_in", 0) - get("cached_image", 0), 0),
        get("image_out", 0),
        get("searches", 0),
        get("tool_calls", 0),
        get("advisor_input", 0),
        get("advisor_output", 0),
        tier,
        get("cost"),
    )
    return None if parts == _NO_PARTS else parts


def _take(counts: dict[str, int], name: str, *places: tuple[dict[str, Any], str]) -> None:
    """Take the first count above 0, else a 0, from these places, unless there is one above 0 already."""
    if counts.get(name):
        return
    for values, key in places:
        found = count(values.get(key))
        if found is not None:
            counts[name] = found
            if found:
                return


def _take_written(counts: dict[str, int], values: dict[str, Any]) -> None:
    """Cache writes by how long they last, which some servers give alone."""
    lasting = _object(values, "cache_creation")
    hour = count(lasting.get("ephemeral_1h_input_tokens")) or 0
    whole = hour + (count(lasting.get("ephemeral_5m_input_tokens")) or 0)
    if whole:
        counts["written"] = max(whole, counts.get("written", 0))
        counts["written_1h"] = hour


def _take_gemini(counts: dict[str, int], values: dict[str, Any]) -> None:
    """Gemini's counts, those by modality too."""
    _take(counts, "input", (values, "promptTokenCount"))
    _take(counts, "output", (values, "candidatesTokenCount"), (values, "responseTokenCount"))
    _take(counts, "thoughts", (values, "thoughtsTokenCount"))
    _take(counts, "tool_input", (values, "toolUsePromptTokenCount"))
    _take_kinds(counts, values.get("promptTokensDetails"), "audio_in", "image_in")
    _take_kinds(counts, values.get("candidatesTokensDetails"), "audio_out", "image_out")
    _take_kinds(counts, values.get("responseTokensDetails"), "audio_out", "image_out")
    _take_kinds(counts, values.get("cacheTokensDetails"), "cached_audio", "cached_image")


def _take_kinds(counts: dict[str, int], listed: object, audio: str, image: str) -> None:
    """Gemini's counts by modality."""
    if not isinstance(listed, list):
        return
    for one in listed:
        if not isinstance(one, dict):
            continue
        name = {"AUDIO": audio, "IMAGE": image}.get(str(one.get("modality")))
        tokens = count(one.get("tokenCount"))
        if name is not None and tokens:
            counts[name] = min(counts.get(name, 0) + tokens, MAX_COUNT)


def _take_tools(counts: dict[str, int], values: dict[str, Any], units: dict[str, Any]) -> None:
    """Searches and calls of other tools that a provider makes itself, and charges for."""
    used = _object(values, "server_tool_use", "server_tool_use_details")
    _take(counts, "searches", (used, "web_search_requests"), (values, "num_search_queries"))
    _take(counts, "searches", (units, "search_units"), (values, "num_sources_used"))
    calls = 0
    for name, value in used.items():
        if name.endswith("_requests") and name != "web_search_requests" and name not in _FREE_TOOLS:
            calls += count(value) or 0
    if calls:
        counts["tool_calls"] = min(calls, MAX_COUNT)


def _take_iterations(counts: dict[str, int], listed: object) -> None:
    """The steps of one response of Anthropic's: compactions, which the counts above them leave out, and advisors, which
    another model's price is for. Messages are counted above, and a declined fallback is not billed."""
    if not isinstance(listed, list):
        return
    for step in listed:
        if not isinstance(step, dict):
            continue
        if step.get("type") == "compaction":
            for name, key in _COMPACTION:
                _add(counts, name, step, key)
            written = Reading({})
            _take_written(written.counts, step)
            _add(counts, "more_written_1h", written.counts, "written_1h")
            if not count(step.get("cache_creation_input_tokens")):
                _add(counts, "more_written", written.counts, "written")
        elif step.get("type") == "advisor_message":
            for name, key in _ADVISOR:
                _add(counts, name, step, key)


def _add(counts: dict[str, int], name: str, values: dict[str, Any], key: str) -> None:
    counts[name] = min(counts.get(name, 0) + (count(values.get(key)) or 0), MAX_COUNT)


def _take_cost(counts: dict[str, int], values: dict[str, Any]) -> None:
    """What the provider says that it charges, in nano-dollars."""
    ticks = _nanos(values.get("cost_in_usd_ticks"), _TICKS)
    if ticks is not None:
        counts["cost"] = ticks
        return
    for value in (values.get("cost"), values.get("total_cost"), values.get("estimated_cost")):
        found = _nanos(value.get("total_cost") if isinstance(value, dict) else value, _NANO)
        if found is not None:
            counts["cost"] = found
            return


def _nanos(value: object, unit: Decimal) -> int | None:
    """An amount of money, as a number or in quotes, in nano-dollars; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value)
    if len(text) > _MAX_TIER_CHARACTERS:
        return None
    try:
        nanos = (Decimal(text) * unit).to_integral_value(ROUND_HALF_EVEN)
    except ArithmeticError:
        return None
    return int(nanos) if nanos.is_finite() and 0 <= nanos <= MAX_NANO_DOLLARS else None


def tier_in(raw: msgspec.Raw) -> str:
    """A service tier as it stands in a request or a response; empty where it is none, or the standard one."""
    try:
        return tier_of(_string.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def tier_of(value: object) -> str:
    """A service tier in lower case; empty where it is none, or the one that is meant where none is named."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return ""
    tier = value.strip().lower()[:_MAX_TIER_CHARACTERS]
    return "" if tier in STANDARD_TIERS else tier


def _object(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """The first of these values that is an object with something in it."""
    for name in names:
        value = values.get(name)
        if isinstance(value, dict) and value:
            return value
    return _NO_VALUES


def _details(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """What all of these say that are objects; of several counts by one name the first above 0."""
    found = [value for value in [values.get(name) for name in names] if isinstance(value, dict) and value]
    if len(found) < 2:
        return found[0] if found else _NO_VALUES
    merged: dict[str, Any] = {}
    for one in found:
        for name, value in one.items():
            if not merged.get(name):
                merged[name] = value
    return merged


def count(value: object) -> int | None:
    """A value as a token count, or None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= MAX_COUNT else None


def _milliseconds(value: object) -> int:
    """Milliseconds of a number of seconds, rounded up; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_SECONDS:
        return 0
    return -int(-value * 1000 // 1)
