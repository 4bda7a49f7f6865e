"""Events that are broken, odd or too large, and counts that are missing, repeated or in another place."""

from collections.abc import Iterable
from typing import Final

from tests.fakes import LAST_CHUNK, Pause, Send, Step, chunk
from tests.faults.scenario import ALL, ESTIMATED, UNREADABLE, WHOLE, Asked, Behaviour, Scenario, cut, renamed
from tests.faults.wires import CHAT_USAGE, TEXT, choice, chunk_event, data

_STREAM: Final = (True,)
_BROKEN: Final = cut("upstream_protocol_error")


def _midway(event: bytes) -> Behaviour:
    """An event in the middle of a good stream."""

    def does(asked: Asked) -> Iterable[Step]:
        wire = asked.wire
        yield from asked.begun(asked.first_half())
        yield asked.told
        yield from (chunk(event), chunk(wire.words[1] + wire.finish + wire.usage + wire.done), Send(LAST_CHUNK))

    return does


def _first(event: bytes) -> Behaviour:
    return lambda asked: asked.chunked(event, asked.wire.stream)


def _line_ends(end: bytes) -> Behaviour:
    """Other line ends, byte by byte."""

    def does(asked: Asked) -> Iterable[Step]:
        body = asked.wire.stream.replace(b"\r\n", b"\n").replace(b"\n", end)
        return asked.chunked(*(body[at : at + 1] for at in range(len(body))))

    return does


def _mixed_line_ends(asked: Asked) -> Iterable[Step]:
    body = asked.wire.stream.replace(b"\r\n", b"\n")
    parts = body.split(b"\n")
    return asked.chunked(b"".join(part + asked.chance.choice((b"\r\n", b"\n")) for part in parts[:-1]))


def _trickle(asked: Asked) -> Iterable[Step]:
    return asked.chunked(*(asked.body[at : at + 1] for at in range(len(asked.body))))


def _comments(asked: Asked) -> Iterable[Step]:
    wire = asked.wire
    return asked.chunked(b": still busy\n\n" * 10_000, wire.stream)


def _cut_letters(asked: Asked) -> Iterable[Step]:
    """A letter of three bytes, in three reads."""
    letter = "…".encode()
    begin, end = choice({"content": TEXT + "@"}).split(b"@")
    wire = asked.wire
    yield from asked.begun(wire.begin + begin + letter[:1])
    for piece in (letter[1:2], letter[2:], end + wire.finish + wire.usage + wire.done):
        yield from (Pause(0.01), chunk(piece))
    yield Send(LAST_CHUNK)


def _no_last_blank_line(asked: Asked) -> Iterable[Step]:
    return asked.chunked(asked.wire.stream.rstrip(b"\r\n") + b"\n")


def _models(model: bytes) -> Behaviour:
    return lambda asked: asked.chunked(renamed(asked.body, model))


def _two_models(asked: Asked) -> Iterable[Step]:
    key = b"modelVersion" if asked.wire.name == "generate" else b"model"
    return asked.chunked(renamed(asked.body, b'"vndr-first","%b":"vndr-second"' % key))


def _counts(usage: bytes, finish: bytes = b"") -> Behaviour:
    """A chat with other counts."""
    return lambda a: a.chunked(a.wire.begin, *a.wire.words, finish or a.wire.finish, usage, a.wire.done)


def _counted_choice() -> bytes:
    return chunk_event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": CHAT_USAGE}])


_GIANT: Final = b"data: " + b"v" * 1_200_000

SCENARIOS: Final = (
    Scenario(
        "bad-json-first",
        "the first event is not JSON",
        _first(b"data: {vndr\n\n"),
        UNREADABLE,
        wires=ALL,
        modes=_STREAM,
    ),
    Scenario("bad-json-midway", "an event is not JSON", _midway(b"data: {vndr\n\n"), _BROKEN, wires=ALL, modes=_STREAM),
    Scenario("event-of-a-list", "an event is a list", _midway(b"data: [1]\n\n"), _BROKEN, modes=_STREAM),
    Scenario("event-of-a-word", "an event is a word", _midway(b"data: vndr\n\n"), _BROKEN, wires=ALL, modes=_STREAM),
    Scenario(
        "event-of-nested-lists",
        "an event of 100,000 brackets",
        _midway(data(0).replace(b"0", b"[" * 100_000)),
        _BROKEN,
        modes=_STREAM,
    ),
    Scenario(
        "bad-utf-8",
        "a text that is no UTF-8 goes on as it came: the event around it is sound",
        _midway(choice({"content": "@"}).replace(b"@", b"\xff\xc3")),
        WHOLE,
        modes=_STREAM,
        text="Hello\ufffd\ufffd there",
    ),
    Scenario(
        "letters-cut-between-reads", "one letter in three reads", _cut_letters, WHOLE, modes=_STREAM, text=TEXT + "…"
    ),
    Scenario("line-ends-cr", "lines end in CR", _line_ends(b"\r"), WHOLE, wires=ALL, modes=_STREAM),
    Scenario("line-ends-crlf", "lines end in CRLF", _line_ends(b"\r\n"), WHOLE, wires=ALL, modes=_STREAM),
    Scenario("line-ends-mixed", "lines end as they like", _mixed_line_ends, WHOLE, wires=ALL, modes=_STREAM),
    Scenario(
        "byte-order-mark",
        "a byte order mark first",
        lambda a: a.chunked(b"\xef\xbb\xbf" + a.wire.stream),
        WHOLE,
        wires=ALL,
        modes=_STREAM,
    ),
    Scenario("trickle", "one byte at a time", _trickle, WHOLE, wires=ALL),
    Scenario("comment-flood", "10,000 comments", _comments, WHOLE, wires=ALL, modes=_STREAM),
    Scenario(
        "blank-lines",
        "blank lines between events",
        lambda a: a.chunked(
            b"\n\n\n" + a.wire.begin, b"\n\n", *a.wire.words, b"\n", a.wire.finish + a.wire.usage + a.wire.done
        ),
        WHOLE,
        modes=_STREAM,
    ),
    Scenario(
        "event-without-data",
        "an event with a name and nothing else",
        _midway(b"event: ping\n\n"),
        WHOLE,
        wires=ALL,
        modes=_STREAM,
    ),
    Scenario(
        "event-with-retry", "a field that sets the client's patience", _midway(b"retry: 3000\n\n"), WHOLE, modes=_STREAM
    ),
    Scenario(
        "no-blank-after-the-colon",
        "no blank after data:",
        lambda a: a.chunked(a.wire.stream.replace(b"data: ", b"data:")),
        WHOLE,
        wires=ALL,
        modes=_STREAM,
    ),
    Scenario(
        "no-last-blank-line", "the last event has no blank line", _no_last_blank_line, WHOLE, wires=ALL, modes=_STREAM
    ),
    Scenario(
        "text-after-done",
        "text after the last mark",
        lambda a: a.chunked(a.wire.stream + data("vndr")),
        WHOLE,
        wires=("chat", "responses", "messages"),
        modes=_STREAM,
    ),
    Scenario(
        "giant-event-first",
        "one event of a megabyte and more",
        lambda a: a.chunked(_GIANT),
        UNREADABLE,
        wires=ALL,
        modes=_STREAM,
    ),
    Scenario("giant-event-midway", "the same inside a stream", _midway(_GIANT), _BROKEN, wires=ALL, modes=_STREAM),
    Scenario(
        "giant-comment", "a comment of a megabyte and more", _midway(b": " + b"v" * 1_200_000), _BROKEN, modes=_STREAM
    ),
    Scenario(
        "unknown-event",
        "an event of a type that nobody knows",
        _midway(b'event: vendor\ndata: {"type":"vendor"}\n\n'),
        WHOLE,
        wires=ALL,
        modes=_STREAM,
    ),
    Scenario("model-empty", "an empty model", _models(b'""'), WHOLE, wires=ALL),
    Scenario("model-null", "no model", _models(b"null"), WHOLE, wires=ALL),
    Scenario("model-number", "a number for a model", _models(b"7"), WHOLE, wires=ALL),
    Scenario("model-twice", "two models in one object", _two_models, WHOLE, wires=ALL),
    Scenario(
        "model-with-escapes",
        "a model written with escapes",
        _models(b'"\\u0076ndr\\/model"'),
        WHOLE,
        wires=ALL,
        hides=(b"\\u0076ndr",),
    ),
    Scenario("usage-missing", "no counts", _counts(b""), ESTIMATED, modes=_STREAM),
    Scenario("usage-null", "null for counts", _counts(chunk_event(choices=[], usage=None)), ESTIMATED, modes=_STREAM),
    Scenario(
        "usage-of-words",
        "words for counts",
        _counts(chunk_event(choices=[], usage={"prompt_tokens": "nine"})),
        ESTIMATED,
        modes=_STREAM,
    ),
    Scenario(
        "usage-below-zero",
        "counts below zero",
        _counts(chunk_event(choices=[], usage={"prompt_tokens": -9, "completion_tokens": -2})),
        ESTIMATED,
        modes=_STREAM,
    ),
    Scenario(
        "usage-twice",
        "counts twice, the second ones right",
        _counts(
            chunk_event(choices=[], usage={**CHAT_USAGE, "prompt_tokens": 1, "total_tokens": 3})
            + chunk_event(choices=[], usage=CHAT_USAGE)
        ),
        WHOLE,
        modes=_STREAM,
    ),
    Scenario("usage-in-the-choice", "counts in the choice", _counts(b"", _counted_choice()), WHOLE, modes=_STREAM),
    Scenario(
        "usage-in-x-groq",
        "counts in a vendor's own field",
        _counts(
            b"", chunk_event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], x_groq={"usage": CHAT_USAGE})
        ),
        WHOLE,
        modes=_STREAM,
    ),
    Scenario(
        "content-filter",
        "stops by its content filter",
        _counts(chunk_event(choices=[], usage=CHAT_USAGE), choice({}, "content_filter")),
        WHOLE,
        modes=_STREAM,
    ),
)
