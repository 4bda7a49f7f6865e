"""The records of the journal: what is stored of a request and its usage. Values only: no file, no clock.

A request appends one `AttemptRecord` for each attempt at an upstream, and one `UsageRecord` when it is settled. The row
of the ledger is the `UsageRecord`, or the last `AttemptRecord` made into one, where a killed process left none. An
`OwnershipRecord` says which key owns an object at an upstream.
"""

from typing import Annotated, Literal

import msgspec

from proxy.wire.schemas import MAX_COUNT, MAX_NANO_DOLLARS

Outcome = Literal[
    "complete",
    "client_closed",
    "client_stalled",
    "upstream_cut",
    "upstream_error",
    "timeout",
    "refused",
    "gateway_shutdown",
    "interrupted",
    "hedge_lost",
]
#: The kind of a file that was uploaded, and validated line by line, as the input of a batch; other files are "file".
BATCH_INPUT = "batch.input"
UsageSource = Literal["reported", "estimated", "none"]

# Bounds without which one absurd number from an upstream would overflow the sums. Usage is read, and records are made,
# by the same bounds, so that no record is written that its reader would refuse.
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
NanoDollars = Annotated[int, msgspec.Meta(ge=0, le=MAX_NANO_DOLLARS)]
Moment = Annotated[int, msgspec.Meta(ge=0, le=10**16)]


class AttemptRecord(msgspec.Struct, frozen=True, tag="open", tag_field="event", omit_defaults=True, gc=False):
    """An attempt at an upstream is about to begin."""

    #: Request id, `req_` and 32 hex digits; the primary key of the row.
    id: str
    #: UTC, in microseconds since 1970.
    started: Moment
    #: Id of the key, never its secret.
    key: str
    alias: str
    endpoint: str
    upstream: str
    upstream_model: str
    stream: bool
    #: 1 for the first attempt of the request.
    attempt: Count = 1
    #: What budgets have reserved for the request: the bill of one that a killed process leaves. None without budgets.
    reserved: NanoDollars | None = None
    #: Ids of the key's team and organisation; empty for none.
    team: str = ""
    org: str = ""


class UsageRecord(msgspec.Struct, frozen=True, tag="final", tag_field="event", omit_defaults=True, gc=False):
    """A request is settled: one for each request, however it ended. Durations are microseconds of a monotonic clock."""

    id: str
    started: Moment
    key: str
    alias: str
    endpoint: str
    #: Empty when no attempt was made.
    upstream: str
    upstream_model: str
    stream: bool
    #: The HTTP status the client got, or would have got.
    status: Count
    outcome: Outcome
    attempts: Count = 0
    #: All input tokens, those read from or written to a cache included.
    input_tokens: Count = 0
    cached_input_tokens: Count = 0
    cache_write_tokens: Count = 0
    #: All output tokens, reasoning included.
    output_tokens: Count = 0
    reasoning_tokens: Count = 0
    #: Source audio, in milliseconds.
    audio_milliseconds: Count = 0
    images: Count = 0
    usage_source: UsageSource = "none"
    #: Nano-dollars (10^-9 USD); None is `unpriced`, which is not 0.
    cost: NanoDollars | None = None
    #: From the arrival of the request to the first byte of the response; None when none was written.
    ttft: Count | None = None
    total: Count = 0
    #: `total` without the time spent waiting for the upstream: what the gateway itself added.
    overhead: Count = 0
    bytes_out: Count = 0
    #: Bytes of text in the request and the response, from which, with the reported tokens, the estimator learns.
    text_in: Count = 0
    text_out: Count = 0
    error_code: str | None = None
    # Rare fields; journals of earlier versions do not have them.
    #: The model that the client requested, where it is no alias: truncated, and on one line.
    requested_model: str = ""
    #: Of the cache writes, tokens for a cache that lasts an hour.
    cache_write_1h_tokens: Count = 0
    #: Of the input and output tokens, those of audio and of images, without tokens read from a cache.
    audio_input_tokens: Count = 0
    audio_output_tokens: Count = 0
    image_input_tokens: Count = 0
    image_output_tokens: Count = 0
    #: Searches and calls of other tools that the provider made for the response.
    searches: Count = 0
    tool_calls: Count = 0
    #: Tokens of an advisor model, which are counted nowhere else.
    advisor_input_tokens: Count = 0
    advisor_output_tokens: Count = 0
    #: The provider's service tier; empty for the standard one.
    service_tier: str = ""
    #: The cost that the provider itself reported.
    provider_cost: NanoDollars | None = None
    #: Names of the missing prices; empty where the cost is known or the alias has no price at all.
    unpriced_parts: str = ""
    #: Ids of the key's team and organisation at the time; empty for none.
    team: str = ""
    org: str = ""
    #: The client's own labels: its session, its user, and a JSON object of its metadata; empty for none.
    session: str = ""
    user: str = ""
    metadata: str = ""
    #: What the target costs the operator; None where that is not configured.
    target_cost: NanoDollars | None = None
    #: What budgets count for a request whose cost is not known; None for all others.
    reserved: NanoDollars | None = None
    #: The attempts that failed by their upstream: see `proxy.ledger.tries`.
    tries: str = ""


class OwnershipRecord(msgspec.Struct, frozen=True, tag="owned", tag_field="event", omit_defaults=True, gc=False):
    """A key created an object at an upstream: a file, a stored response, a thread. The first record of an id counts."""

    #: The upstream's own id of the object.
    id: str
    #: OpenAI's name of its type: file, response, thread.run; or `BATCH_INPUT`.
    kind: str
    #: Id of the key that created it.
    key: str
    #: The upstream that has it.
    upstream: str
    #: UTC, in microseconds since 1970.
    created: int
    #: The alias it was created with, and the upstream's model for it; empty for objects without a model.
    alias: str = ""
    model: str = ""
    #: It was deleted, and its record is to be.
    gone: bool = False


Record = AttemptRecord | UsageRecord | OwnershipRecord
