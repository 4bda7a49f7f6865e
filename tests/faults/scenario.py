"""What a scenario is: one fault of an upstream, and what must become of a request that meets it.

Records and their makers; the scenarios themselves stand in the files beside this one, by where the fault is.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from tests.fakes import LAST_CHUNK, Pause, RecordedRequest, Send, Step, WaitFor, chunk, head
from tests.faults.wires import ANSWERING_MODEL, MESSAGE, Wire

#: Headers that every answer of the upstream has and that no client may see.
TELLING: Final[Mapping[str, str]] = {
    "server": "vndr-edge",
    "via": "1.1 vndr-cache",
    "set-cookie": "vndr_session=1; Path=/",
    "openai-organization": "vndr-org",
    "x-request-id": "vndr-request",
    "request-id": "vndr-request",
    "alt-svc": 'h3="vndr.example:443"',
    "strict-transport-security": "max-age=1; vndr",
    "x-generation-id": "vndr-generation",
    "location": "http://vndr-inner.example/",
}
ALL: Final = ("chat", "responses", "messages", "generate")
ONE: Final = ("chat",)

#: whole: to the end, and said so. error: an error answer. told: the provider's own error inside the stream, to its end.
#: cut: begun, then an error event in the caller's format where it is a stream, then the connection is aborted.
Ending = Literal["whole", "error", "told", "cut"]
#: Where the counts come from; `seen` is `reported` where the format had counts before the fault, else `estimated`.
Source = Literal["reported", "estimated", "none"]
#: Where the upstream listens: `plain` takes every request; the others are a fault by themselves.
Place = Literal[
    "plain",
    "tls",
    "tls-expired",
    "tls-wrong-name",
    "tls-unknown",
    "tls-on-plain",
    "tls-mute",
    "refused",
    "no-such-host",
    "closing",
    "resetting",
    "hasty",
]


@dataclass(frozen=True)
class End:
    """How a request must end, for its client and in the ledger."""

    status: int
    ending: Ending
    outcome: str
    source: Source
    attempts: int = 1
    #: Error codes of which the row has one; None is none.
    codes: tuple[str | None, ...] = (None,)


WHOLE: Final = End(200, "whole", "complete", "reported")
ESTIMATED: Final = replace(WHOLE, source="estimated")
#: The second target answered.
SECOND: Final = replace(WHOLE, attempts=2)
THIRD: Final = replace(WHOLE, attempts=3)
TOLD: Final = End(200, "told", "upstream_error", "estimated")
TIMED_OUT: Final = End(504, "error", "timeout", "none", codes=("upstream_timeout",))
STALLED: Final = End(200, "cut", "timeout", "estimated", codes=("upstream_timeout",))


def failed(*codes: str, attempts: int = 1) -> End:
    """A 502 of the gateway's own."""
    return End(502, "error", "upstream_error", "none", attempts, codes)


def passed(status: int, attempts: int = 1) -> End:
    """The provider's own error, scrubbed."""
    return End(status, "error", "upstream_error", "none", attempts, (f"upstream_{status}",))


def cut(*codes: str) -> End:
    """Begun, and cut."""
    return End(200, "cut", "upstream_cut", "estimated", codes=codes)


DROPPED: Final = failed("upstream_dropped")
UNREADABLE: Final = failed("upstream_protocol_error")


@dataclass
class Asked:
    """One request as a behaviour sees it."""

    wire: Wire
    stream: bool
    #: The model that was asked for.
    model: str
    #: 1 for the first time that this question came, and for the first request on its connection.
    attempt: int
    served: int
    #: Seeded by the question: the same question gets the same answer.
    chance: random.Random
    request: RecordedRequest
    #: Goes on when the client has the beginning of the answer, so that what was sent before was read by itself. A JSON
    #: answer has none for its client before its end: there it is a pause.
    told: WaitFor | Pause

    @property
    def body(self) -> bytes:
        """A good answer."""
        return self.wire.stream if self.stream else self.wire.json

    @property
    def kind(self) -> str:
        """The content type of a good answer."""
        return "text/event-stream" if self.stream else "application/json"

    @property
    def message(self) -> str:
        """What a provider may say of the model in an error."""
        return MESSAGE.format(model=self.model)

    def head(self, status: int = 200, headers: Mapping[str, str | None] | None = None) -> Send:
        """A head with everything that tells who answers; None takes a header out."""
        fields = {"content-type": self.kind, **TELLING, **(headers or {})}
        return head(status, {name: value for name, value in fields.items() if value is not None})

    def sized(self, body: bytes, status: int = 200, headers: Mapping[str, str | None] | None = None) -> list[Step]:
        """An answer with its length."""
        return [self.head(status, {"content-length": str(len(body)), **(headers or {})}), Send(body)]

    def begun(self, *pieces: bytes, headers: Mapping[str, str | None] | None = None) -> list[Step]:
        """A chunked answer that has not ended."""
        return [
            self.head(200, {"transfer-encoding": "chunked", **(headers or {})}),
            *(chunk(one) for one in pieces if one),
        ]

    def chunked(self, *pieces: bytes, headers: Mapping[str, str | None] | None = None) -> list[Step]:
        """A chunked answer."""
        return [*self.begun(*pieces, headers=headers), Send(LAST_CHUNK)]

    def good(self) -> list[Step]:
        """A good answer: a stream in chunks, one an event; JSON with its length."""
        if not self.stream:
            return self.sized(self.wire.json)
        wire = self.wire
        parts = [wire.begin, *wire.words, wire.finish, wire.usage, wire.done]
        return self.chunked(*(part for part in parts if part))

    def error(self, status: int, headers: Mapping[str, str | None] | None = None) -> list[Step]:
        """An error answer in the wire's own shape."""
        return self.sized(
            self.wire.error(self.message), status, {"content-type": "application/json", **(headers or {})}
        )

    def first_half(self) -> bytes:
        """A good answer up to the middle of its text; of a stream whole events."""
        if self.stream:
            return self.wire.begin + self.wire.words[0]
        return self.wire.json[: len(self.wire.json) // 2]


Behaviour = Callable[[Asked], Iterable[Step]]


def well(asked: Asked) -> Iterable[Step]:
    """Answer as one should."""
    return asked.good()


@dataclass(frozen=True)
class Scenario:
    """One fault."""

    name: str
    #: One line for people.
    says: str
    does: Behaviour
    #: How it ends when nothing else can be asked, and when a second target answers well. The latter is `SECOND` where
    #: nothing is said and the former is an error; else the same.
    alone: End
    backed: End | None = None
    #: The same for a plain answer, where it differs.
    json_alone: End | None = None
    json_backed: End | None = None
    wires: tuple[str, ...] = ONE
    #: Streaming, and plain.
    modes: tuple[bool, ...] = (True, False)
    place: Place = "plain"
    #: A good exchange on the same connection comes first.
    warm: bool = False
    #: The text of the answer, where it is not the usual one.
    text: str | None = None
    #: Must stand in what the client gets, head or body.
    shows: tuple[bytes, ...] = ()
    #: Must not.
    hides: tuple[bytes, ...] = ()
    #: Further fields of the question.
    asks: Mapping[str, object] = field(default_factory=dict)
    #: Bytes that the question is made longer by.
    padding: int = 0
    #: The fault takes as long as a deadline: not for the quick sample.
    slow: bool = False

    def end(self, *, stream: bool, backed: bool) -> End:
        """How it must end."""
        alone, second = self.alone, self.backed
        if not stream and self.json_alone is not None:
            alone, second = self.json_alone, self.json_backed
        elif not stream and alone.ending == "cut":
            # Nothing of a JSON answer is given before its end: it has not begun.
            codes = [code for code in alone.codes if code is not None]
            alone = TIMED_OUT if alone.outcome == "timeout" else failed(*codes)
        if not backed:
            return alone
        if second is not None:
            return second
        return replace(SECOND, attempts=alone.attempts + 1) if alone.ending == "error" else alone


def pieces(asked: Asked, body: bytes, most: int = 12) -> list[bytes]:
    """The body cut at places that the question decides."""
    points = sorted(asked.chance.sample(range(1, len(body)), min(most, len(body) - 1)))
    return [body[begin:end] for begin, end in zip([0, *points], [*points, len(body)], strict=True)]


def renamed(body: bytes, model: bytes) -> bytes:
    """An answer with another raw value for its model."""
    return body.replace(b'"%b"' % ANSWERING_MODEL.encode(), model)
