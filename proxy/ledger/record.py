"""The records of the journal, and with them what one bill says.

Values only: no file, no clock. A request writes one `Opened` for each call to an upstream and one `Final` when it is
settled; the row of the ledger is the `Final`, or, where a killed process left none, the last `Opened` turned into one.
An `Owned` says whose an object at an upstream is.
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
]
#: The kind of a file that was uploaded as the input of a batch, whose lines were looked at; other files are "file".
BATCH_INPUT = "batch.input"
UsageSource = Literal["reported", "estimated", "none"]

# What can be true: without these bounds one absurd number from an upstream would overflow the sums. They are those by
# which usage is read and bills are made, so that no record is written that its reader would refuse.
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
NanoDollars = Annotated[int, msgspec.Meta(ge=0, le=MAX_NANO_DOLLARS)]
Moment = Annotated[int, msgspec.Meta(ge=0, le=10**16)]


class Opened(msgspec.Struct, frozen=True, tag="open", tag_field="event", omit_defaults=True, gc=False):
    """An upstream call is about to be made."""

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
    #: 1 for the first call of the request.
    attempt: Count = 1


class Final(msgspec.Struct, frozen=True, tag="final", tag_field="event", omit_defaults=True, gc=False):
    """A request is settled. One per request, whatever ended it. Durations are microseconds, of a monotonic clock."""

    id: str
    started: Moment
    key: str
    alias: str
    endpoint: str
    #: Empty when no upstream was called.
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
    #: From the request's arrival to the first answer byte handed to the client; None when none was.
    ttft: Count | None = None
    total: Count = 0
    #: `total` less the time spent waiting on the upstream: what the gateway itself added.
    overhead: Count = 0
    bytes_out: Count = 0
    #: Text bytes asked and answered, as the estimator counts them; from them and the reported tokens it learns.
    text_in: Count = 0
    text_out: Count = 0
    error_code: str | None = None
    # What few requests have; a journal that knows nothing of it is read all the same.
    #: The model that the client asked for, where it is no alias: cut to a bound, and on one line.
    requested_model: str = ""
    #: Of the cache writes, those to a cache that lasts an hour.
    cache_write_1h_tokens: Count = 0
    #: Of the input and output tokens, those of audio and of images; without those that were read from a cache.
    audio_input_tokens: Count = 0
    audio_output_tokens: Count = 0
    image_input_tokens: Count = 0
    image_output_tokens: Count = 0
    #: Searches and calls of other tools that the provider made for the answer.
    searches: Count = 0
    tool_calls: Count = 0
    #: Tokens of another model that advised: counted nowhere else.
    advisor_input_tokens: Count = 0
    advisor_output_tokens: Count = 0
    #: The provider's service tier; empty for the standard one.
    service_tier: str = ""
    #: What the provider itself said that it charges.
    provider_cost: NanoDollars | None = None
    #: What has no price, by the names of the prices; empty where the cost is known or the alias has no price at all.
    unpriced_parts: str = ""


class Owned(msgspec.Struct, frozen=True, tag="owned", tag_field="event", omit_defaults=True, gc=False):
    """An object at an upstream that a key made there: a file, a stored response, a thread. The first one counts."""

    #: The upstream's own id of the object.
    id: str
    #: What it is, in OpenAI's words: file, response, thread.run; or `BATCH_INPUT`.
    kind: str
    #: Id of the key that made it.
    key: str
    #: Where it lives.
    upstream: str
    #: UTC, in microseconds since 1970.
    created: int
    #: The alias it was made with, and the model that stood for it; empty for what has no model.
    alias: str = ""
    model: str = ""
    #: It was deleted: the record goes.
    gone: bool = False


Record = Opened | Final | Owned
