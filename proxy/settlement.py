"""What a settled request is billed: reported where the upstream said it, estimated where it did not, with the source.

Arithmetic only; when it happens, and that it happens once, is the relay's promise.
"""

import time
import typing

import msgspec

from proxy.dialects.tap import AnswerTap
from proxy.ledger.estimate import Estimator
from proxy.ledger.pricing import CompiledPrice, cost, cost_of
from proxy.ledger.record import Final, Outcome, UsageSource
from proxy.policies.base import Call
from proxy.upstream.target import Target
from proxy.wire.shapes import Usage

_NOTHING_USED: typing.Final = Usage()
_CLIENT_LEFT: typing.Final = frozenset({"client_closed", "client_stalled"})
_now: typing.Final = time.monotonic
#: Units of endpoints that are billed by the minute or the image.
_PIECES: typing.Final = ("audio", "images")


def final_record(
    call: Call,
    target: Target,
    tap: AnswerTap | None,
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
) -> Final:
    """The bill of one request. `sent`, `first_byte` and `first_write` are monotonic seconds, 0 where it never came."""
    alias = call.alias
    assert alias is not None
    text_out = tap.text_out if tap is not None else 0
    # An answer that had begun, or that the client no longer waited for, has cost something upstream.
    spent = sent != 0.0 and (tap is not None or outcome in _CLIENT_LEFT)
    usage, source = _usage(call, tap, text_out, estimator, outcome, spent)
    input_tokens, cached, written = usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens
    output_tokens, audio, images = usage.output_tokens, usage.audio_milliseconds, usage.images
    price = alias.price
    if call.unit in _PIECES:
        nanos = _cost_of_pieces(price, usage, spent)
    else:
        nanos = cost_of(price, input_tokens, cached, written, output_tokens, audio, images)
    arrived = call.arrived
    overhead = 0.0
    if sent:
        overhead = sent - arrived
        if first_write and first_byte:
            overhead += first_write - first_byte
    # In the order of its fields: a record that is made by their names costs ten times as much.
    return Final(
        call.id,
        call.started,
        call.key.id,
        alias.name,
        call.endpoint,
        target.pool.name,
        target.model,
        call.body.stream,
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
        bytes_out,
        call.text_in,
        text_out,
        error_code,
    )


def refused_record(
    *,
    request_id: str,
    started: int,
    key: str,
    alias: str,
    endpoint: str,
    stream: bool,
    outcome: Outcome,
    status: int,
    error_code: str | None,
    total: int,
) -> Final:
    """The row of a request that a known key made and that reached no upstream; `total` in microseconds."""
    return Final(
        id=request_id,
        started=started,
        key=key,
        alias=alias,
        endpoint=endpoint,
        upstream="",
        upstream_model="",
        stream=stream,
        status=status,
        outcome=outcome,
        cost=0,
        total=total,
        overhead=total,
        error_code=error_code,
    )


def _usage(
    call: Call, tap: AnswerTap | None, text_out: int, estimator: Estimator, outcome: Outcome, spent: bool
) -> tuple[Usage, UsageSource]:
    """The usage that counts, and where it comes from."""
    alias = call.alias
    assert alias is not None
    usage = tap.usage() if tap is not None else None
    length = call.upload.milliseconds if call.upload is not None and spent else None
    if length and (usage is None or (not usage.audio_milliseconds and _by_piece(alias.price))):
        # Measured in the request, since the answer does not tell what it is billed by.
        measured = msgspec.structs.replace(usage or _NOTHING_USED, audio_milliseconds=length)
        return measured, "reported" if usage is not None else "estimated"
    if usage is not None and tap is not None and tap.counts_so_far:
        _, produced = estimator.estimate(alias.name, 0, text_out)
        return msgspec.structs.replace(usage, output_tokens=max(usage.output_tokens, produced)), "estimated"
    if usage is not None:
        if outcome == "complete":
            # Hidden reasoning has tokens but no text; it must not spoil the ratio.
            spoken = max(usage.output_tokens - usage.reasoning_tokens, 0)
            estimator.observe(alias.name, call.text_in, usage.input_tokens, text_out, spoken)
        return usage, "reported"
    if spent and call.unit == "tokens":
        given, produced = estimator.estimate(alias.name, call.text_in, text_out)
        return Usage(input_tokens=given, output_tokens=produced), "estimated"
    return _NOTHING_USED, "none"


def _cost_of_pieces(price: CompiledPrice | None, usage: Usage, spent: bool) -> int | None:
    """The cost of what is billed by the minute or the image: None where that is not known, and never 0."""
    if _by_piece(price):
        # Such a price holds whatever tokens the answer counts beside.
        usage = Usage(audio_milliseconds=usage.audio_milliseconds, images=usage.images)
    if spent and usage == _NOTHING_USED:
        return None
    return cost(price, usage)


def _by_piece(price: CompiledPrice | None) -> bool:
    """A price by the minute or the image, and not by the token."""
    return price is not None and price.input is None and price.output is None


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
