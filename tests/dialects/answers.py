"""What the tests of all dialects share: answers fed to a dialect's taps as the relay does it. Not a test."""

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

Counters = tuple[int, bool, bool, bool, Usage | None]


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def event_tap(dialect: Dialect) -> ResponseMeter:
    return dialect.event_tap(ALIAS, UPSTREAM, False)


def json_tap(dialect: Dialect) -> ResponseMeter:
    return dialect.json_tap(ALIAS, UPSTREAM, False)


def read_events(dialect: Dialect, *events: Any) -> ResponseMeter:
    """A tap that has read these events."""
    tap = event_tap(dialect)
    for event in events:
        tap.read(compact(event))
    return tap


def read_json(dialect: Dialect, answer: Any) -> ResponseMeter:
    """A tap that has read this answer."""
    tap = json_tap(dialect)
    tap.read(compact(answer))
    return tap


def counters(tap: ResponseMeter) -> Counters:
    return tap.text_out, tap.finished, tap.failed, tap.ended, tap.usage()


def relay_events(dialect: Dialect, pieces: Iterable[bytes]) -> tuple[bytes, ResponseMeter]:
    """What a client gets of a stream: reading ends where the answer does."""
    tap = event_tap(dialect)
    rewriter = SSERewriter(tap, ALIAS)
    out = b""
    for piece in pieces:
        out += rewriter.feed(piece)
        if tap.ended:
            return out, tap
    return out + rewriter.end(), tap


def relay_whole(dialect: Dialect, data: bytes) -> tuple[bytes, ResponseMeter]:
    """What a client gets of a JSON answer that came in one piece."""
    tap = json_tap(dialect)
    out = JsonRewriter(tap, ALIAS, dialect.usage_key).whole(data)
    assert out is not None
    return out, tap


def relay_pieces(dialect: Dialect, pieces: Iterable[bytes]) -> tuple[bytes, ResponseMeter]:
    """What a client gets of a JSON answer that came in several."""
    tap = json_tap(dialect)
    rewriter = JsonRewriter(tap, ALIAS, dialect.usage_key)
    out = b"".join([rewriter.feed(piece) for piece in pieces])
    tap.read(rewriter.said)
    return out, tap


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
