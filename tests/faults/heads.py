"""Heads that are no good, or say what the body does not hold to."""

from collections.abc import Iterable
from typing import Final

from tests.fakes import Close, Reset, Send, Step
from tests.faults.scenario import ALL, UNREADABLE, WHOLE, Asked, Behaviour, Scenario
from tests.faults.wires import TEXT


def _raw(*lines: str) -> Behaviour:
    """A head of these lines in place of its framing, then the good body."""

    def does(asked: Asked) -> Iterable[Step]:
        fields = {"{type}": asked.kind, "{length}": str(len(asked.body))}
        text = "\r\n".join([*lines, "", ""])
        for mark, value in fields.items():
            text = text.replace(mark, value)
        return [Send(text.encode("latin-1") + asked.body), Close()]

    return does


_OK: Final = "HTTP/1.1 200 OK"
#: Half of an answer that nobody asked for.
_ANOTHER: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4000\r\n\r\nvndr"
_TYPE: Final = "content-type: {type}"
_LENGTH: Final = "content-length: {length}"


def _encoded(coding: str) -> Behaviour:
    return lambda asked: asked.sized(b"\x1f\x8b\x08\x00vndr" * 20, 200, {"content-encoding": coding})


def _surplus(asked: Asked) -> Iterable[Step]:
    """More than the length says, in the same write: the beginning of another answer."""
    *first, last = asked.sized(asked.body)
    assert isinstance(last, Send)
    return [*first, Send(last.data + _ANOTHER)]


SCENARIOS: Final = (
    Scenario("two-lengths", "two different lengths", _raw(_OK, _TYPE, _LENGTH, "content-length: 9"), UNREADABLE),
    Scenario(
        "length-and-chunks",
        "a length and chunks at once",
        _raw(_OK, _TYPE, _LENGTH, "transfer-encoding: chunked"),
        UNREADABLE,
    ),
    Scenario("negative-length", "a length below zero", _raw(_OK, _TYPE, "content-length: -1"), UNREADABLE),
    Scenario("length-of-words", "a length that is no number", _raw(_OK, _TYPE, "content-length: vndr"), UNREADABLE),
    Scenario("length-beyond-reason", "a length over 64 bits", _raw(_OK, f"content-length: {2**64 + 2}"), UNREADABLE),
    Scenario("huge-head", "a header of 300 KiB", _raw(_OK, _TYPE, f"x-vndr: {'v' * 307_200}", _LENGTH), UNREADABLE),
    Scenario("many-headers", "8,000 headers", _raw(_OK, _TYPE, *["x-vndr: vndr"] * 8_000, _LENGTH), UNREADABLE),
    Scenario("bare-cr-in-a-header", "a CR in a value", _raw(_OK, _TYPE, "x-a: b\rset-cookie: c", _LENGTH), UNREADABLE),
    Scenario("bare-lf-in-a-header", "an LF in a value", _raw(_OK, _TYPE, "x-a: b\nx-vndr: c", _LENGTH), UNREADABLE),
    Scenario("nul-in-a-header", "a NUL in a value", _raw(_OK, _TYPE, "retry-after: 1\x002", _LENGTH), UNREADABLE),
    Scenario("header-without-a-colon", "a line that is no header", _raw(_OK, _TYPE, "vndr", _LENGTH), UNREADABLE),
    Scenario("no-status-line", "no HTTP at all", lambda a: [Send(b"220 vndr ESMTP ready\r\n"), Close()], UNREADABLE),
    Scenario("status-of-words", "a status that is no number", _raw("HTTP/1.1 vndr OK", _TYPE, _LENGTH), UNREADABLE),
    Scenario("http-2-preface", "frames of HTTP/2", lambda a: [Send(b"\x00\x00\x12\x04\x00" * 9), Close()], UNREADABLE),
    Scenario("gzip", "compressed though identity was asked", _encoded("gzip"), UNREADABLE, wires=ALL),
    Scenario("brotli", "the same with brotli", _encoded("br"), UNREADABLE),
    Scenario("zstandard", "the same with zstandard", _encoded("zstd"), UNREADABLE),
    Scenario(
        "identity", "says that it is not compressed", _raw(_OK, _TYPE, "content-encoding: identity", _LENGTH), WHOLE
    ),
    Scenario("http-1.0", "HTTP/1.0, ended by its close", _raw("HTTP/1.0 200 OK", _TYPE), WHOLE, wires=ALL),
    Scenario("close-announced", "says that it will close", _raw(_OK, _TYPE, "connection: close", _LENGTH), WHOLE),
    Scenario(
        "close-unannounced",
        "closes after its answer without a word",
        lambda a: [*a.sized(a.body), Close()],
        WHOLE,
        wires=ALL,
    ),
    Scenario("reset-after-the-answer", "resets after its answer", lambda a: [*a.sized(a.body), Reset()], WHOLE),
    Scenario("surplus", "bytes after the answer's end", _surplus, WHOLE, wires=ALL, hides=(b"HTTP/1.1",)),
    Scenario(
        "surplus-later",
        "bytes after the answer's end, in a write of their own",
        lambda a: [*a.sized(a.body), Send(_ANOTHER)],
        WHOLE,
    ),
    Scenario(
        "no-type",
        "no content type",
        lambda a: a.sized(a.body, 200, {"content-type": None}),
        WHOLE,
        wires=ALL,
    ),
    Scenario(
        "events-called-json",
        "events with JSON's type",
        lambda a: a.sized(a.wire.stream, 200, {"content-type": "application/json"}),
        WHOLE,
        json_alone=UNREADABLE,
        wires=ALL,
    ),
    Scenario(
        "events-called-json-in-pieces",
        "events with JSON's type, one by one",
        lambda a: a.chunked(
            a.wire.stream[:3], a.wire.stream[3:90], a.wire.stream[90:], headers={"content-type": "application/json"}
        ),
        WHOLE,
        json_alone=UNREADABLE,
        wires=ALL,
    ),
    Scenario(
        "json-called-events",
        "one JSON answer with the type of events",
        lambda a: a.sized(a.wire.json, 200, {"content-type": "text/event-stream"}),
        WHOLE,
        wires=ALL,
        text=TEXT,
    ),
    Scenario(
        "json-called-text",
        "JSON with the type of plain text",
        lambda a: a.sized(a.wire.json, 200, {"content-type": "text/plain"}),
        WHOLE,
        wires=ALL,
        modes=(False,),
    ),
    Scenario(
        "json-for-a-stream",
        "one JSON answer where events were asked for",
        lambda a: a.sized(a.wire.json, 200, {"content-type": "application/json"}),
        WHOLE,
        wires=ALL,
        modes=(True,),
        text=TEXT,
    ),
)
