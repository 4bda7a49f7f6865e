"""Streams that break off, stall or end in odd ways: never a clean end for what is not whole."""

from collections.abc import Iterable
from typing import Final

from tests.fakes import LAST_CHUNK, Close, Hang, Pause, Reset, Send, Step, chunk
from tests.faults.scenario import (
    ALL,
    DROPPED,
    SECOND,
    STALLED,
    TOLD,
    UNREADABLE,
    WHOLE,
    Asked,
    Behaviour,
    Scenario,
    cut,
    pieces,
)
from tests.faults.wires import candidate, choice, generate_event

_STREAM: Final = (True,)
_JSON: Final = (False,)
_WITH_BEGIN: Final = ("chat", "responses", "messages")
_CUT: Final = cut("upstream_dropped")
#: What the provider says of it, without its names.
_SAID: Final = (b"does not like it; key ***, see ***",)
_BROKEN: Final = cut("upstream_protocol_error")


def _after_half(*steps: Step) -> Behaviour:
    """Half a good answer; when the gateway has surely read that, the rest."""
    return lambda asked: [*asked.begun(asked.first_half()), asked.told, *steps]


def _after_begin(*steps: Step) -> Behaviour:
    # Not until the client has them: it gets them with the first content only, where a second target stands by.
    return lambda asked: [*asked.begun(asked.wire.begin), Pause(0.1), *steps]


def _until_closed(asked: Asked) -> Iterable[Step]:
    """Framed by the connection's end."""
    return [asked.head(200, {"connection": "close"}), Send(asked.body), Close()]


def _random_cuts(asked: Asked) -> Iterable[Step]:
    yield asked.head(200, {"transfer-encoding": "chunked"})
    for piece in pieces(asked, asked.body):
        yield from (chunk(piece), Pause(0.005))
    yield Send(LAST_CHUNK)


def _half_until_closed(asked: Asked) -> Iterable[Step]:
    return [asked.head(200, {"connection": "close"}), Send(asked.first_half()), asked.told, Close()]


def _inside_an_event(asked: Asked) -> Iterable[Step]:
    return [*asked.begun(asked.first_half()), asked.told, chunk(asked.wire.words[1][:30]), Send(LAST_CHUNK)]


def _without_mark(*steps: Step) -> Behaviour:
    """Whole but for the last mark, then the steps."""

    def does(asked: Asked) -> Iterable[Step]:
        wire = asked.wire
        return [*asked.begun(wire.begin, *wire.words, wire.finish + wire.usage), *steps]

    return does


def _without_finish(asked: Asked) -> Iterable[Step]:
    wire = asked.wire
    return asked.chunked(wire.begin + b"".join(wire.words), wire.usage + wire.done)


def _finish_missing(asked: Asked) -> Iterable[Step]:
    return [*asked.begun(asked.first_half()), asked.told, chunk(asked.wire.words[1]), Send(LAST_CHUNK)]


def _one_of_two(asked: Asked) -> Iterable[Step]:
    """Two choices were asked for and begun; one ends."""
    if asked.wire.name == "generate":
        body = generate_event(candidate("Hello", 0), candidate("Good", 1))
        body += generate_event(candidate(" there", 0, finishReason="STOP"))
    else:
        body = choice({"content": "Hello"}, index=0) + choice({"content": "Good"}, index=1)
        body += choice({"content": " there"}, index=0) + choice({}, "stop", 0)
    return [*asked.begun(body), asked.told, Send(LAST_CHUNK)]


def _two_of_two(asked: Asked) -> Iterable[Step]:
    body = choice({"content": "Hello"}, index=0) + choice({}, "stop", 0)
    body += choice({"content": " there"}, index=1) + choice({}, "stop", 1) + asked.wire.usage
    return asked.chunked(body)


def _error_first(asked: Asked) -> Iterable[Step]:
    return asked.chunked(asked.wire.error_event(asked.message))


def _error_midway(asked: Asked) -> Iterable[Step]:
    return [
        *asked.begun(asked.first_half()),
        asked.told,
        chunk(asked.wire.error_event(asked.message)),
        Send(LAST_CHUNK),
    ]


def _error_midway_then_done(asked: Asked) -> Iterable[Step]:
    end = chunk(asked.wire.error_event(asked.message) + asked.wire.done)
    return [*asked.begun(asked.first_half()), asked.told, end, Send(LAST_CHUNK)]


def _error_as_json(asked: Asked) -> Iterable[Step]:
    return asked.sized(asked.wire.error(asked.message), 200, {"content-type": "application/json"})


def _json_half(*steps: Step) -> Behaviour:
    """Half of a JSON answer whose length is announced."""

    def does(asked: Asked) -> Iterable[Step]:
        announced = {"content-length": str(len(asked.wire.json))}
        return [asked.head(200, announced), Send(asked.first_half()), asked.told, *steps]

    return does


SCENARIOS: Final = (
    # Before the first content: what opens a stream has left only where nobody else could answer.
    Scenario(
        "stall-before-content",
        "stops after the events that open a stream",
        _after_begin(Hang()),
        STALLED,
        SECOND,
        wires=_WITH_BEGIN,
        modes=_STREAM,
        slow=True,
    ),
    Scenario(
        "reset-before-content",
        "resets after the events that open a stream",
        _after_begin(Reset()),
        _CUT,
        SECOND,
        wires=_WITH_BEGIN,
        modes=_STREAM,
    ),
    Scenario("stall-midway", "stops inside the text", _after_half(Hang()), STALLED, wires=ALL, slow=True),
    Scenario("reset-midway", "resets inside the text", _after_half(Reset()), _CUT, wires=ALL),
    Scenario("close-midway", "closes inside the text", _after_half(Close()), _CUT, wires=ALL),
    Scenario(
        "close-inside-a-chunk", "closes inside a chunk", _after_half(Send(b"ff\r\ndata: {"), Close()), _CUT, wires=ALL
    ),
    Scenario("wrong-chunk-size", "a chunk is longer than it says", _after_half(Send(b"5\r\ndata: {}\r\n")), _BROKEN),
    Scenario("chunk-size-of-words", "a chunk's size is no number", _after_half(Send(b"vndr\r\n")), _BROKEN),
    Scenario(
        "chunk-size-beyond-reason", "a chunk's size is over 64 bits", _after_half(Send(b"f" * 17 + b"\r\n")), _BROKEN
    ),
    Scenario(
        "endless-chunk-extension", "a chunk extension without end", _after_half(Send(b"1;" + b"v" * 200_000)), _BROKEN
    ),
    Scenario("until-closed", "whole, and ended by the close", _until_closed, WHOLE, wires=ALL),
    Scenario(
        "until-closed-midway",
        "closes inside the text, which HTTP takes for an end",
        _half_until_closed,
        _CUT,
        json_alone=UNREADABLE,
        wires=ALL,
    ),
    Scenario("cut-inside-an-event", "ends in order inside an event", _inside_an_event, _CUT, wires=ALL, modes=_STREAM),
    Scenario("finish-missing", "ends in order before the text does", _finish_missing, _CUT, wires=ALL, modes=_STREAM),
    Scenario(
        "done-missing",
        "no last mark, but the reason to finish",
        _without_mark(Send(LAST_CHUNK)),
        WHOLE,
        wires=ALL,
        modes=_STREAM,
    ),
    Scenario(
        "done-missing-then-silence",
        "no last mark, and no end either",
        _without_mark(Hang()),
        WHOLE,
        wires=ALL,
        modes=_STREAM,
        slow=True,
    ),
    Scenario(
        "done-then-silence",
        "the last mark, and no end of the body",
        lambda a: [*a.begun(a.wire.stream), Hang()],
        WHOLE,
        wires=_WITH_BEGIN,
        modes=_STREAM,
    ),
    Scenario(
        "done-then-reset",
        "the last mark, and a reset",
        lambda a: [*a.begun(a.wire.stream), a.told, Reset()],
        WHOLE,
        wires=_WITH_BEGIN,
        modes=_STREAM,
    ),
    Scenario("done-without-finish", "the last mark, but no reason to finish", _without_finish, WHOLE, modes=_STREAM),
    Scenario(
        "one-of-two-finished",
        "two answers were begun, one has its reason to finish",
        _one_of_two,
        _CUT,
        wires=("chat", "generate"),
        modes=_STREAM,
        asks={"n": 2},
    ),
    Scenario("two-of-two-finished", "two answers, both finished", _two_of_two, WHOLE, modes=_STREAM, asks={"n": 2}),
    Scenario(
        "error-event-first",
        "an error as the first event",
        _error_first,
        UNREADABLE,
        shows=_SAID,
        wires=ALL,
        modes=_STREAM,
    ),
    Scenario(
        "error-as-json-in-200",
        "an error as a JSON answer with status 200",
        _error_as_json,
        UNREADABLE,
        shows=_SAID,
        wires=ALL,
    ),
    Scenario("error-midway", "an error inside the text, then the end", _error_midway, TOLD, wires=ALL, modes=_STREAM),
    Scenario(
        "error-midway-then-done",
        "an error inside the text, then the last mark",
        _error_midway_then_done,
        TOLD,
        wires=("chat", "messages"),
        modes=_STREAM,
    ),
    Scenario("empty", "no body at all", lambda a: a.sized(b""), DROPPED, json_alone=UNREADABLE, wires=ALL),
    Scenario(
        "empty-chunked", "no body at all, in chunks", lambda a: a.chunked(), DROPPED, json_alone=UNREADABLE, wires=ALL
    ),
    Scenario("json-cut", "resets inside a JSON answer", _json_half(Reset()), _CUT, wires=ALL, modes=_JSON),
    Scenario("json-closed", "closes inside a JSON answer", _json_half(Close()), _CUT, modes=_JSON),
    Scenario("json-stall", "stops inside a JSON answer", _json_half(Hang()), STALLED, modes=_JSON, slow=True),
    Scenario(
        "half-an-answer-in-order",
        "half an answer whose length is that of the half",
        lambda a: a.sized(a.first_half()[:40]),
        DROPPED,
        json_alone=UNREADABLE,
        wires=ALL,
    ),
    Scenario(
        "random-cuts",
        "cut into pieces at random places, with a pause in each",
        _random_cuts,
        WHOLE,
        wires=ALL,
    ),
)
