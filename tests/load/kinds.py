"""The ways in which the misbehaving upstream answers: each is a plan of steps, chosen by the model that is asked for.

No socket and no clock: a plan says what is written and how long is waited, and `upstream` does it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType

from tests.load import answers
from tests.load.answers import EVENTS, FOREIGN, JSON, LAST_CHUNK, chunk, head


class Step(Enum):
    """What is done beside writing bytes and waiting seconds."""

    #: The answer is at its end; what follows is nobody's. A new request ends the plan.
    ANSWERED = 0
    CLOSE = 1
    RESET = 2


Plan = Iterator[bytes | float | Step]
#: Seconds between two events of an endless stream.
PACE = 0.002
#: Seconds between an answer's reason to finish and its usage.
MOMENT = 0.03
#: Seconds after which bytes come late: when their connection idles.
LATE = 0.005
#: Seconds after which an answer comes once more.
AGAIN = 0.06
#: Events with text in a stream that comes in pieces.
PIECES = 8
#: Bytes of text in an event of a talkative stream, and the seconds between two of them.
LONG, LONG_PACE = 8_192, 0.4
#: Bytes of text in an event of a flood.
FLOOD = 16_384


def padding(number: int) -> str:
    """The text of an answer that comes in pieces."""
    return "padding " * (number % 500)


def whole(number: int, stream: bool) -> Plan:
    """A good answer in one write."""
    if stream:
        yield head(200, EVENTS, None) + b"".join(map(chunk, answers.stream_events(number))) + LAST_CHUNK
    else:
        body = answers.chat(number)
        yield head(200, JSON, len(body)) + body
    yield Step.ANSWERED


def pieces(number: int, stream: bool) -> Plan:
    """A good answer in many writes, with a breath between them."""
    if stream:
        yield head(200, EVENTS, None)
        for event in answers.stream_events(number, PIECES):
            yield chunk(event)
            yield PACE
        yield LAST_CHUNK
    else:
        body = answers.chat(number, padding(number))
        middle = number % len(body)
        yield head(200, JSON, None) + (chunk(body[:middle]) if middle else b"")
        yield PACE
        yield chunk(body[middle:]) + LAST_CHUNK
    yield Step.ANSWERED


def finished(number: int, stream: bool) -> Plan:
    """A good answer whose usage comes a moment behind the rest."""
    if stream:
        *events, usage, done = map(chunk, answers.stream_events(number))
        yield head(200, EVENTS, None) + b"".join(events)
        yield MOMENT
        yield usage + done + LAST_CHUNK
    else:
        body = answers.chat(number)
        before = body.index(b'"usage"')
        yield head(200, JSON, len(body)) + body[:before]
        yield MOMENT
        yield body[before:]
    yield Step.ANSWERED


def silent(number: int, stream: bool) -> Plan:
    """Nothing."""
    yield math.inf


def begun(number: int, stream: bool) -> Plan:
    """The beginning of an answer, and nothing more."""
    if stream:
        yield head(200, EVENTS, None) + chunk(answers.stream_events(number)[0])
    else:
        body = answers.chat(number)
        yield head(200, JSON, len(body)) + body[: len(body) // 2]
    yield math.inf


def endless(number: int, stream: bool) -> Plan:
    """A stream without an end, an event at a time."""
    yield head(200, EVENTS, None) + chunk(answers.stream_events(number)[0])
    event = chunk(answers.event(number, "more "))
    while True:
        yield event
        yield PACE


def flood(number: int, stream: bool) -> Plan:
    """A stream without an end, as fast as it is read."""
    yield head(200, EVENTS, None) + chunk(answers.stream_events(number)[0])
    event = chunk(answers.event(number, "x" * FLOOD))
    while True:
        yield event


def talkative(number: int, stream: bool) -> Plan:
    """A stream without an end that fills what a reader leaves unread within some seconds."""
    yield head(200, EVENTS, None) + chunk(answers.stream_events(number)[0])
    event = chunk(answers.event(number, "x" * LONG))
    while True:
        yield event
        yield LONG_PACE


def failing(number: int, stream: bool) -> Plan:
    """A failure after which another target may do better."""
    body = answers.error(number)
    yield head(503, JSON, len(body)) + body
    yield Step.ANSWERED


def extra(number: int, stream: bool) -> Plan:
    """More bytes than were announced, in the same write."""
    body = answers.chat(number)
    yield head(200, JSON, len(body)) + body + b"surplus " + answers.mark(FOREIGN).encode()
    yield Step.ANSWERED


def twice(number: int, stream: bool) -> Plan:
    """Two answers to one request."""
    yield b"".join(step for step in whole(number, stream) if isinstance(step, bytes)) + _foreign_answer()
    yield Step.ANSWERED


def late(number: int, stream: bool) -> Plan:
    """A good answer, and another one that nobody asked for once the connection idles."""
    yield from whole(number, stream)
    yield LATE
    yield _foreign_answer() if number % 2 else b"late " + answers.mark(FOREIGN).encode()


def again(number: int, stream: bool) -> Plan:
    """A good answer, and the same once more when its client thinks of something else."""
    steps = [step for step in whole(number, stream) if isinstance(step, bytes)]
    yield from steps
    yield Step.ANSWERED
    yield AGAIN
    yield from steps


def cookie(number: int, stream: bool) -> Plan:
    """A good answer with headers that must go no further."""
    body = answers.chat(number)
    private = answers.mark(number)
    yield head(200, JSON, len(body), f"set-cookie: session={private}", f"x-upstream: {private}") + body
    yield Step.ANSWERED


def short(number: int, stream: bool) -> Plan:
    """An answer that ends before its end, in order."""
    yield from _part(number, stream)
    yield Step.CLOSE


def torn(number: int, stream: bool) -> Plan:
    """An answer that is broken off."""
    yield from _part(number, stream)
    yield Step.RESET


def dropped(number: int, stream: bool) -> Plan:
    """The connection ends instead of an answer."""
    yield Step.CLOSE if number % 2 else Step.RESET


def embedded(number: int, stream: bool) -> Plan:
    """An embeddings answer."""
    body = answers.embeddings(number)
    yield head(200, JSON, len(body)) + body
    yield Step.ANSWERED


def transcribed(number: int, stream: bool) -> Plan:
    """A transcription."""
    body = answers.transcript(number)
    yield head(200, JSON, len(body)) + body
    yield Step.ANSWERED


def _part(number: int, stream: bool) -> Plan:
    if stream:
        events = answers.stream_events(number, PIECES)
        yield head(200, EVENTS, None)
        # Never the finish reason, behind which an answer is whole.
        yield b"".join(map(chunk, events[: number % (PIECES + 1)]))
    else:
        body = answers.chat(number)
        yield head(200, JSON, len(body)) + body[: number % len(body)]
    yield PACE


def _foreign_answer() -> bytes:
    body = answers.chat(FOREIGN)
    return head(200, JSON, len(body)) + body


_GOOD = (whole, pieces, finished, embedded, transcribed)
_UNENDED = (silent, begun, endless, talkative, flood, short, torn, dropped)
_ODD = (failing, extra, twice, late, again, cookie)
PLANS: Mapping[str, Callable[[int, bool], Plan]] = MappingProxyType(
    {plan.__name__: plan for plan in (*_GOOD, *_UNENDED, *_ODD)}
)
