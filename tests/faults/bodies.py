"""JSON answers that are not what they should be."""

from collections.abc import Iterable
from typing import Final

from tests.fakes import LAST_CHUNK, Pause, Send, Step, chunk
from tests.faults.scenario import ALL, ESTIMATED, UNREADABLE, WHOLE, Asked, Behaviour, Scenario
from tests.faults.wires import CHAT_JSON, TEXT, packed

_JSON: Final = (False,)
_LONG: Final = TEXT * 200_000


def _body(body: bytes) -> Behaviour:
    return lambda asked: asked.sized(body)


def _chat(**fields: object) -> Behaviour:
    """A chat with other fields."""
    return _body(packed({**CHAT_JSON, **fields}))


def _in_two(change: bytes) -> Behaviour:
    """A good answer in two reads, with something behind it."""

    def does(asked: Asked) -> Iterable[Step]:
        body = asked.wire.json + change
        half = len(asked.wire.json) // 2
        return [*asked.begun(body[:half]), asked.told, chunk(body[half:]), Send(LAST_CHUNK)]

    return does


def _short(asked: Asked) -> Iterable[Step]:
    """All but the last brace, in two reads, and its framing in order."""
    body, half = asked.wire.json[:-1], len(asked.wire.json) // 2
    return [*asked.begun(body[:half]), asked.told, chunk(body[half:]), Send(LAST_CHUNK)]


def _padded(asked: Asked) -> Iterable[Step]:
    """Empty lines, by which some keep a connection open, and then the answer."""
    steps: list[Step] = asked.begun()
    for _ in range(3):
        steps += [chunk(b"\n"), Pause(0.02)]
    return [*steps, chunk(asked.wire.json), Send(LAST_CHUNK)]


def _choice(text: object) -> list[object]:
    return [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]


SCENARIOS: Final = (
    Scenario("json-short-of-its-end", "the last brace is missing", _short, UNREADABLE, wires=ALL, modes=_JSON),
    Scenario(
        "json-with-junk",
        "junk behind the answer",
        lambda a: a.sized(a.wire.json + b"vndr"),
        UNREADABLE,
        wires=ALL,
        modes=_JSON,
    ),
    Scenario(
        "json-with-junk-later",
        "junk behind the answer, in two reads",
        _in_two(b"vndr"),
        UNREADABLE,
        wires=ALL,
        modes=_JSON,
    ),
    Scenario(
        "json-twice", "two answers in one body", lambda a: a.sized(a.wire.json * 2), UNREADABLE, wires=ALL, modes=_JSON
    ),
    Scenario(
        "json-twice-later",
        "two answers in one body, in two reads",
        lambda a: _in_two(a.wire.json)(a),
        UNREADABLE,
        wires=ALL,
        modes=_JSON,
    ),
    Scenario("json-list", "a list", _body(b"[1,2]"), UNREADABLE, wires=ALL, modes=_JSON),
    Scenario("json-word", "a word", _body(b'"vndr"'), UNREADABLE, wires=ALL, modes=_JSON),
    Scenario("json-null", "null", _body(b"null"), UNREADABLE, wires=ALL, modes=_JSON),
    Scenario(
        "json-word-in-pieces",
        "plain words, in two reads",
        lambda a: [*a.begun(b"vndr "), a.told, chunk(b"vndr"), Send(LAST_CHUNK)],
        UNREADABLE,
        wires=ALL,
        modes=_JSON,
    ),
    Scenario("json-padded", "empty lines before the answer", _padded, WHOLE, wires=ALL, modes=_JSON),
    Scenario(
        "json-bad-utf-8",
        "a text that is no UTF-8 goes on as it came",
        _body(packed(CHAT_JSON).replace(b"Hello", b"Hell\xff")),
        WHOLE,
        modes=_JSON,
        text="Hell\ufffd there",
    ),
    Scenario("json-nested", "5,000 brackets", _body(b'{"choices":' + b"[" * 5_000), UNREADABLE, wires=ALL, modes=_JSON),
    Scenario("json-large", "two megabytes", _chat(choices=_choice(_LONG)), WHOLE, modes=_JSON, text=_LONG),
    Scenario(
        "json-page", "a web page with JSON's type", _body(b"<html>vndr</html>"), UNREADABLE, wires=ALL, modes=_JSON
    ),
    Scenario(
        "json-page-in-pieces",
        "the same in two reads",
        lambda a: [*a.begun(b"<html>"), a.told, chunk(b"vndr</html>"), Send(LAST_CHUNK)],
        UNREADABLE,
        wires=ALL,
        modes=_JSON,
    ),
    Scenario("json-without-usage", "no counts", _chat(usage=None), ESTIMATED, modes=_JSON),
    Scenario("json-usage-of-words", "words for counts", _chat(usage="nine"), ESTIMATED, modes=_JSON),
    Scenario(
        "json-usage-beyond-reason",
        "counts beyond reason",
        _chat(usage={"prompt_tokens": 2**60, "completion_tokens": 2**63}),
        ESTIMATED,
        modes=_JSON,
    ),
    Scenario(
        "json-usage-of-parts",
        "counts as fractions",
        _chat(usage={"prompt_tokens": 9.0, "completion_tokens": 2.0}),
        WHOLE,
        modes=_JSON,
    ),
)
