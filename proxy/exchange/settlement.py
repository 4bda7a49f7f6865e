"""The bills of settled requests: makes each `UsageRecord` of the gateway, but for those of a killed process.

Tokens are as reported by the upstream, or estimated where it reports none; the bill says which. Arithmetic only: when
a request is settled, and that it is once, is decided by the exchange.
"""

import time
import typing

import msgspec

from proxy.dialects.meters import ResponseMeter
from proxy.exchange.context import RequestContext
from proxy.exchange.payers import printable_text, with_payers
from proxy.ledger.estimator import Estimator
from proxy.ledger.pricing import CompiledPrice, cost_of, cost_of_parts
from proxy.ledger.record import Outcome, UsageRecord, UsageSource
from proxy.ledger.tries import encode
from proxy.routing.models import Alias
from proxy.upstream.target import Target
from proxy.upstream.traffic import LATENCY_WEIGHT
from proxy.wire.prism_headers import NO_PRISM_HEADERS
from proxy.wire.schemas import MAX_COUNT, MAX_NANO_DOLLARS, Parts, Usage
from proxy.wire.usage import tier_in

_NOTHING_USED: typing.Final = Usage()
#: Outcomes of requests whose client left.
CLIENT_LEFT: typing.Final = frozenset({"client_closed", "client_stalled"})
#: Outcomes of requests that the upstream did not serve to their end.
UPSTREAM_FAILED: typing.Final = frozenset({"upstream_cut", "upstream_error", "timeout"})
_now: typing.Final = time.monotonic
#: Characters of a model's name that a client made up.
MAX_NAME_LENGTH: typing.Final = 200
#: Units of endpoints that are billed by the minute or the image.
_PIECE_UNITS: typing.Final = ("audio", "images")
#: Capabilities whose responses hold no text that a model wrote token by token.
_TEXTLESS: typing.Final = frozenset({"embeddings", "rerank", "moderation"})


def relayed_record(
    context: RequestContext,
    alias: Alias | None,
    target: Target,
    meter: ResponseMeter | None,
    estimator: Estimator,
    *,
    outcome: Outcome,
    error_code: str | None,
    status: int,
    attempts: int,
    sent: float,
    first_byte: float,
    first_write: float,
    bytes_out: int,
    left: bool = False,
) -> UsageRecord:
    """The bill of a request that was sent to an upstream for an alias, which is the one that the client names or one
    that stands in for it; `left` says that it ended because the client waits no longer.

    `sent`, `first_byte` and `first_write` are monotonic seconds, 0 where it never came.
    """
    assert alias is not None
    text_out = max(meter.text_out, 0) if meter is not None else 0
    # A response that had begun, or that the client no longer waited for, has cost something upstream.
    spent = sent != 0.0 and (meter is not None or left or outcome in CLIENT_LEFT)
    usage, source = _usage(context, alias, meter, text_out, estimator, outcome, spent)
    if source == "estimated" and "service_tier" in context.body.fields:
        tier = tier_in(context.body.fields["service_tier"])
        usage = _of_tier(usage, tier) if tier else usage
    input_tokens, cached, written = usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens
    output_tokens, audio, images = usage.output_tokens, usage.audio_milliseconds, usage.images
    price, parts, lacking = alias.price, usage.parts, ""
    if context.spec.unit in _PIECE_UNITS:
        nanos, lacking = _cost_of_pieces(price, usage, spent)
    elif parts is None:
        nanos = cost_of(price, input_tokens, cached, written, output_tokens, audio, images)
        if nanos is None:
            lacking = cost_of_parts(price, usage)[1]
    else:
        nanos, lacking = cost_of_parts(price, usage)
    if source == "none" and spent and context.spec.unit != "nothing":
        # Something was made, and nothing says how much.
        nanos = None
    elif meter is not None and alias.capability == "speech" and not output_tokens and _charges_sound(price):
        # Sound was made, and not counted.
        nanos, lacking = None, "audio_output"
    if nanos is not None and nanos > MAX_NANO_DOLLARS:
        nanos = MAX_NANO_DOLLARS
    arrived = context.arrived
    overhead = 0.0
    if sent:
        overhead = sent - arrived
        if first_write and first_byte:
            overhead += first_write - first_byte
    if first_byte and sent and outcome not in UPSTREAM_FAILED:
        traffic = target.pool.health.traffic
        # By hand, since it is done for every request: `Traffic.responded`.
        latency = first_byte - sent
        traffic.latency = (
            latency if not traffic.responses else traffic.latency + (latency - traffic.latency) * LATENCY_WEIGHT
        )
        traffic.responses += 1
        traffic.responded_at = first_byte
    # In the order of its fields: a record that is made by their names costs ten times as much.
    final = UsageRecord(
        context.id,
        context.started,
        context.key.id,
        alias.name,
        context.endpoint,
        target.pool.name,
        target.model,
        context.body.stream,
        status,
        outcome,
        attempts,
        input_tokens,
        cached,
        written,
        output_tokens,
        usage.reasoning_tokens,
        audio,
        images,
        source,
        nanos,
        _microseconds(first_write - arrived) if first_write else None,
        _microseconds(_now() - arrived),
        _microseconds(overhead),
        bytes_out if bytes_out < MAX_COUNT else MAX_COUNT,
        # What is not about text alone is not learned from, now or at the next start.
        context.text_in if context.plain or source == "estimated" else 0,
        text_out if text_out < MAX_COUNT else MAX_COUNT,
        error_code,
    )
    if parts is not None or lacking:
        final = with_parts(final, parts, lacking)
    if alias.costs:
        final = with_target_cost(context, alias, meter, final, usage, spent)
    key, fields = context.key, context.body.fields
    if (
        key.team
        or key.org
        or context.prism is not NO_PRISM_HEADERS
        or "user" in fields
        or "metadata" in fields
        or "safety_identifier" in fields
    ):
        final = with_payers(context, final)
    return final


def with_target_cost(
    context: RequestContext,
    alias: Alias,
    meter: ResponseMeter | None,
    final: UsageRecord,
    usage: Usage,
    spent: bool,
) -> UsageRecord:
    """A bill with what the target has cost the operator, by the same rules; unchanged where that is not known."""
    price = alias.costs.get(f"{final.upstream}/{final.upstream_model}")
    if price is None:
        return final
    if context.spec.unit in _PIECE_UNITS:
        nanos = _cost_of_pieces(price, usage, spent)[0]
    else:
        nanos = cost_of_parts(price, usage)[0]
    is_unknown = final.usage_source == "none" and spent and context.spec.unit != "nothing"
    is_sound = meter is not None and alias.capability == "speech" and not usage.output_tokens and _charges_sound(price)
    if nanos is None or is_unknown or is_sound:
        return final
    return msgspec.structs.replace(final, target_cost=min(nanos, MAX_NANO_DOLLARS))


def with_parts(final: UsageRecord, parts: Parts | None, lacking: str) -> UsageRecord:
    """A bill with what few have: what is billed apart, and what has no price."""
    rare = msgspec.structs.asdict(parts) if parts is not None else {}
    return msgspec.structs.replace(final, unpriced_parts=lacking, **rare)


def refused_record(
    context: RequestContext, alias: str, outcome: Outcome, status: int, error_code: str | None
) -> UsageRecord:
    """The bill of a request that a known key made and that reached no upstream.

    `alias` is the one that it names, if it names one; what it names else is kept apart.
    """
    final = local_record(context, outcome, error_code, status, 0.0, 0)
    requested_model = printable_name(context.body.model) if not alias else ""
    return msgspec.structs.replace(final, alias=alias, requested_model=requested_model)


def resource_record(
    context: RequestContext,
    *,
    alias: str,
    price: CompiledPrice | None,
    upstream: str,
    upstream_model: str,
    usage: Usage | None,
    is_paid: bool,
    outcome: Outcome,
    error_code: str | None,
    status: int,
    attempts: int,
    waited: float,
    first_write: float,
    bytes_out: int,
) -> UsageRecord:
    """The bill of a request to a resource endpoint.

    `usage` is what the request made; None where it made nothing, or shows again what is billed already. `is_paid` says
    that it starts work that costs something. `waited` are the seconds spent waiting for the upstream.
    """
    if usage is None:
        begun = outcome == "complete" or outcome in CLIENT_LEFT or (first_write != 0.0 and status < 400)
        nanos, lacking = None if is_paid and attempts and begun else 0, ""
    elif not usage.input_known or not usage.output_known:
        nanos, lacking = None, "input" if usage.output_known else "output"
    else:
        nanos, lacking = cost_of_parts(price, usage)
    used = usage or _NOTHING_USED
    local = local_record(context, outcome, error_code, status, first_write, bytes_out)
    final = msgspec.structs.replace(
        local,
        alias=alias,
        upstream=upstream if attempts else "",
        upstream_model=upstream_model if attempts else "",
        attempts=attempts,
        input_tokens=used.input_tokens,
        cached_input_tokens=used.cached_input_tokens,
        cache_write_tokens=used.cache_write_tokens,
        output_tokens=used.output_tokens,
        reasoning_tokens=used.reasoning_tokens,
        usage_source="reported" if usage is not None else "none",
        cost=min(nanos, MAX_NANO_DOLLARS) if nanos is not None else None,
        overhead=max(local.total - _microseconds(waited), 0),
    )
    if used.parts is not None or lacking:
        final = with_parts(final, used.parts, lacking)
    return final if final.cost is not None else with_reserved(context, final)


def local_record(
    context: RequestContext,
    outcome: Outcome,
    error_code: str | None,
    status: int,
    first_write: float,
    bytes_out: int,
) -> UsageRecord:
    """The bill of a response that no upstream was asked for, such as a replay: it costs nothing."""
    total = _now() - context.arrived
    final = UsageRecord(
        id=context.id,
        started=context.started,
        key=context.key.id,
        alias=context.alias.name if context.alias is not None else "",
        endpoint=context.endpoint,
        upstream="",
        upstream_model="",
        stream=context.body.stream,
        status=status,
        outcome=outcome,
        cost=0,
        ttft=_microseconds(first_write - context.arrived) if first_write else None,
        total=_microseconds(total),
        overhead=_microseconds(total),
        bytes_out=min(bytes_out, MAX_COUNT),
        error_code=error_code,
    )
    return with_payers(context, final)


def crashed_record(
    context: RequestContext, *, upstream: str, model: str, status: int, first_write: float, bytes_out: int
) -> UsageRecord:
    """The row of a request at which the gateway itself failed, so that there is no bill: what it cost is not known."""
    local = local_record(context, "interrupted", "internal_error", status, first_write, bytes_out)
    final = msgspec.structs.replace(local, upstream=upstream, upstream_model=model, cost=None)
    return with_reserved(context, final)


def with_tries(context: RequestContext, final: UsageRecord) -> UsageRecord:
    """A bill with the attempts that failed: for a request that has any."""
    return msgspec.structs.replace(final, tries=encode(context.tries))


def reserved_of(context: RequestContext) -> int | None:
    """The nano-dollars that budgets have reserved for a request; None without budgets."""
    held = context.held
    return held.budgets.nanos if held is not None and held.budgets is not None else None


def with_reserved(context: RequestContext, final: UsageRecord) -> UsageRecord:
    """A bill with what budgets count for it: for one whose cost is not known."""
    reserved = reserved_of(context)
    return final if reserved is None else msgspec.structs.replace(final, reserved=reserved)


def printable_name(name: str) -> str:
    """A name that a client made up, as it may be stored and displayed: cut, and printable on one line."""
    return printable_text(name, MAX_NAME_LENGTH)


def _usage(
    context: RequestContext,
    alias: Alias,
    meter: ResponseMeter | None,
    text_out: int,
    estimator: Estimator,
    outcome: Outcome,
    spent: bool,
) -> tuple[Usage, UsageSource]:
    """The usage that counts, and where it comes from."""
    usage = meter.usage() if meter is not None else None
    length = context.upload.milliseconds if context.upload is not None and spent else None
    if length and (usage is None or (not usage.audio_milliseconds and _by_piece(alias.price))):
        # Measured in the request, since the response does not say what it is billed by.
        measured = msgspec.structs.replace(usage or _NOTHING_USED, audio_milliseconds=length)
        return measured, "reported" if usage is not None else "estimated"
    if usage is None:
        if not spent or context.spec.unit != "tokens" or context.background:
            return _NOTHING_USED, "none"
        given, produced = estimator.estimate(context.key.id, alias.name, context.text_in, text_out)
        return Usage(min(given, MAX_COUNT), 0, 0, min(produced, MAX_COUNT), output_known=False), "estimated"
    if context.spec.unit != "tokens":
        return usage, "reported"
    assert meter is not None
    so_far = meter.counts_so_far
    words = 0 if alias.capability in _TEXTLESS else text_out
    if usage.input_known and usage.output_known and (usage.input_tokens or not words) and not so_far:
        if outcome == "complete" and context.plain:
            # Hidden reasoning has tokens but no text; it must not spoil the ratio.
            spoken = max(usage.output_tokens - usage.reasoning_tokens, 0)
            estimator.observe(context.key.id, alias.name, context.text_in, usage.input_tokens, text_out, spoken)
        return usage, "reported"
    return _completed(context, alias, usage, words, so_far, estimator)


def _of_tier(usage: Usage, tier: str) -> Usage:
    """Usage of a response that broke off before it named its service tier: that of the request is taken."""
    parts = usage.parts or Parts()
    if parts.service_tier:
        return usage
    return msgspec.structs.replace(usage, parts=msgspec.structs.replace(parts, service_tier=tier))


def _completed(
    context: RequestContext, alias: Alias, usage: Usage, text_out: int, so_far: bool, estimator: Estimator
) -> tuple[Usage, UsageSource]:
    """Usage with estimates where the response gave no count. None of them is below what it reported."""
    given, produced = usage.input_tokens, usage.output_tokens
    likely_given, likely_produced = estimator.estimate(context.key.id, alias.name, context.text_in, text_out)
    likely_given, likely_produced = min(likely_given, MAX_COUNT), min(likely_produced, MAX_COUNT)
    if given and not produced and not usage.input_known:
        # A total alone: what is not output is input.
        if not text_out:
            return usage, "reported"
        produced = min(likely_produced, given)
        given -= produced
    else:
        if not usage.output_known or so_far or not (given or produced):
            produced = max(produced, likely_produced)
        if not usage.input_known or not given:
            given = max(given, likely_given)
        if given == usage.input_tokens and not text_out and not so_far:
            return usage, "reported"
    return msgspec.structs.replace(usage, input_tokens=given, output_tokens=produced), "estimated"


def _cost_of_pieces(price: CompiledPrice | None, usage: Usage, spent: bool) -> tuple[int | None, str]:
    """The cost of what is billed by the minute or the image: None where that is not known, and never 0."""
    if _by_piece(price):
        # Such a price holds whatever tokens the response counts beside.
        usage = Usage(audio_milliseconds=usage.audio_milliseconds, images=usage.images)
    if spent and not (usage.input_tokens or usage.output_tokens or usage.audio_milliseconds or usage.images):
        return None, ""
    if price is not None and not (usage.input_known and usage.output_known):
        return None, "output" if usage.input_known else "input"
    return cost_of_parts(price, usage)


def _charges_sound(price: CompiledPrice | None) -> bool:
    return price is not None and bool(price.parts.audio_output)


def _by_piece(price: CompiledPrice | None) -> bool:
    """A price by the minute or the image, and not by the token."""
    return price is not None and price.input is None and price.output is None


def _microseconds(seconds: float) -> int:
    microseconds = int(seconds * 1_000_000)
    if microseconds < 0:
        return 0
    return microseconds if microseconds < MAX_COUNT else MAX_COUNT
