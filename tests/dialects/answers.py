"""What the tests of all dialects share: answers fed to a dialect's meters as the relay does it. Not a test."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import strategies as st

from proxy.dialects.base import Dialect
from proxy.dialects.meters import ResponseMeter
from proxy.wire.json_rewrite import JsonRewriter, SSERewriter
from proxy.wire.schemas import Usage

ALIAS = "prometheus-core"
UPSTREAM = "vendor-model"
#: What upstreams call themselves in answers: seldom what was asked for.
SNAPSHOT = "vendor-model-2026-08-07"
#: Usage as Responses and media have it, and what is read of it.
USAGE: dict[str, Any] = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 14,
}
COUNTED = Usage(9, 4, 2, 5, 3)

Counters = tuple[int, bool, bool, bool, Usage | None]


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def event_meter(dialect: Dialect) -> ResponseMeter:
    return dialect.event_meter(ALIAS, UPSTREAM, False)


def json_meter(dialect: Dialect) -> ResponseMeter:
    return dialect.json_meter(ALIAS, UPSTREAM, False)


def read_events(dialect: Dialect, *events: Any) -> ResponseMeter:
    """A meter that has read these events."""
    meter = event_meter(dialect)
    for event in events:
        meter.read(compact(event))
    return meter


def read_json(dialect: Dialect, answer: Any) -> ResponseMeter:
    """A meter that has read this answer."""
    meter = json_meter(dialect)
    meter.read(compact(answer))
    return meter


def counters(meter: ResponseMeter) -> Counters:
    return meter.text_out, meter.finished, meter.failed, meter.ended, meter.usage()


def relay_events(dialect: Dialect, pieces: Iterable[bytes]) -> tuple[bytes, ResponseMeter]:
    """What a client gets of a stream: reading ends where the answer does."""
    meter = event_meter(dialect)
    rewriter = SSERewriter(meter, ALIAS)
    out = b""
    for piece in pieces:
        out += rewriter.feed(piece)
        if meter.ended:
            return out, meter
    return out + rewriter.end(), meter


def relay_whole(dialect: Dialect, data: bytes) -> tuple[bytes, ResponseMeter]:
    """What a client gets of a JSON answer that came in one piece."""
    meter = json_meter(dialect)
    out = JsonRewriter(meter, ALIAS, dialect.usage_key).whole(data)
    assert out is not None
    return out, meter


def relay_pieces(dialect: Dialect, pieces: Iterable[bytes]) -> tuple[bytes, ResponseMeter]:
    """What a client gets of a JSON answer that came in several."""
    meter = json_meter(dialect)
    rewriter = JsonRewriter(meter, ALIAS, dialect.usage_key)
    out = b"".join([rewriter.feed(piece) for piece in pieces])
    meter.read(rewriter.summary)
    return out, meter


def strings() -> st.SearchStrategy[str]:
    """Texts that a model may write, and that code may trip over."""
    return st.sampled_from(
        ["", " word", "é😀", "\n", '"', "\\", '"},"model":"b","x":{"y":"', "[DONE]", UPSTREAM, "\u2028", "{[", "a" * 40]
    )


def parts_of(value: Any) -> Iterator[Any]:
    """Every value in a value, itself first."""
    yield value
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from parts_of(one)
