"""What a client may see of a stream that was cut: worked out the plain way, without help from `proxy`.

A client reads by the specification of server-sent events: what no blank line ends was never sent. Of a stream without
its own finish there may be no clean end, and of no stream an event that the upstream did not send.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.corpus import Dialect, Exchange, with_model
from tests.serving import ALIAS

_LINE_END = re.compile(r"\r\n|\r|\n")
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
DONE = "[DONE]"
#: Google sends an error in a stream without `data:`, and its SDKs want it so.
_BARE_ERROR = re.compile(rb'(?:^|\n)\{"error":\{[^\r\n]*\}\}\r\n\r\n$')


@dataclass(frozen=True)
class Event:
    """One event as a client is told of it."""

    name: str
    data: str

    @property
    def value(self) -> dict[str, Any]:
        """Its JSON object; empty for the mark at the end. Raises ValueError for anything else."""
        value = {} if self.data == DONE else json.loads(self.data)
        if not isinstance(value, dict):
            raise ValueError(f"not an object: {self.data[:100]}")
        return value

    @property
    def is_error(self) -> bool:
        return bool(self.value.get("error"))


def events_in(stream: bytes) -> list[Event]:
    """The events that a client is told of, by the letter of the specification; what is left at the end is dropped."""
    events: list[Event] = []
    name = ""
    data: list[str] = []
    *lines, _ = _LINE_END.split(stream.decode("utf-8", "replace"))
    for line in lines:
        if not line:
            if data:
                events.append(Event(name, "\n".join(data)))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        if field == "event":
            name = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))
    return events


def finished(events: Sequence[Event], dialect: Dialect) -> bool:
    """Whether the upstream has said that its answer is whole."""
    values = [event.value for event in events]
    if dialect == "openai-responses":
        return any(value.get("type") in _TERMINAL for value in values)
    if dialect == "anthropic":
        return any((value.get("delta") or {}).get("stop_reason") for value in values)
    if dialect == "gemini":
        candidates = [one for value in values for one in value.get("candidates", [])]
        return any(one.get("finishReason") for one in candidates) or any("promptFeedback" in value for value in values)
    choices: dict[int, bool] = {}
    for value in values:
        for choice in value.get("choices") or ():
            index = choice.get("index", 0)
            choices[index] = choices.get(index, False) or choice.get("finish_reason") is not None
    return bool(choices) and all(choices.values())


def ended(events: Sequence[Event], dialect: Dialect) -> bool:
    """Whether the dialect's own mark has come: whatever happens to the connection then, the answer is whole."""
    last = events[-1] if events else Event("", "{}")
    if dialect == "anthropic":
        return last.value.get("type") == "message_stop"
    return last.data == DONE or (dialect == "openai-responses" and last.value.get("type") in _TERMINAL)


@dataclass(frozen=True)
class Outcome:
    """What came out: the client's side, and the bills."""

    status: int
    payload: bytes
    #: The body ended as its framing says.
    clean: bool
    outcomes: tuple[str, ...]


def flaw(recording: Exchange, told: Sequence[Event], cut: int, kept_framing: bool, seen: Outcome) -> str:
    """What is wrong with the end of an answer of which the upstream sent `cut` bytes; empty when it is honest.

    `told` are the events of the whole answer as the client should be told of them; `kept_framing` says that the HTTP
    body ended as it should, though the stream in it did not.
    """
    dialect = recording.dialect
    # A carriage return at the end may be half of a line end, so it ends no line yet.
    came = events_in(recording.response[:cut].removesuffix(b"\r"))
    # A last event that lacks nothing but its blank line may count where the body has an end.
    last = events_in(recording.response[:cut] + b"\n\n")
    whole = last if kept_framing and _is_json(last) else came
    if len(seen.outcomes) != 1:
        return f"{len(seen.outcomes)} bills: {seen.outcomes}"
    if (seen.outcomes[0] == "complete") != (seen.clean and seen.status == 200):
        return f"a bill that says {seen.outcomes[0]} of an end that was {'clean' if seen.clean else 'cut'}"
    was_whole = ended(came, dialect) or (kept_framing and finished(whole, dialect))
    if seen.status != 200:
        if was_whole:
            return f"status {seen.status}, though the answer was whole"
        return "" if b'"error"' in seen.payload else "an error without an error"
    shown = events_in(seen.payload)
    if events_in(seen.payload + b"\n\n") != shown:
        return "a piece of an event at the end"
    if not all(_is_json([event]) for event in shown):
        return "an event that is not JSON"
    if not seen.clean:
        if was_whole:
            return "a cut end, though the answer was whole"
        if dialect == "gemini" and _BARE_ERROR.search(seen.payload) is None:
            return "a cut end without an error"
        if dialect != "gemini":
            if not shown or not shown[-1].is_error:
                return "a cut end without an error event"
            shown = shown[:-1]
    elif not finished(whole, dialect):
        return "a clean end without a finish"
    elif not finished(shown, dialect):
        return "a clean end of which the client is not told the finish"
    if shown != list(told[: len(shown)]) or len(shown) > len(whole):
        return "an event that the upstream did not send"
    if len(shown) < len(came):
        return "an event less than the upstream sent"
    return ""


def _is_json(events: Sequence[Event]) -> bool:
    """Whether the last of these events is whole."""
    try:
        return bool(events) and events[-1].value is not None
    except ValueError:
        return False


def told_events(recording: Exchange, model_paths: Mapping[str, Sequence[Sequence[str]]]) -> list[Event]:
    """The events of a whole answer, with the alias where the model stands."""
    return [_renamed(event, recording.dialect, model_paths) for event in events_in(recording.response)]


def _renamed(event: Event, dialect: Dialect, model_paths: Mapping[str, Sequence[Sequence[str]]]) -> Event:
    if event.data == DONE:
        return event
    if dialect == "openai-chat":
        return Event(event.name, with_model(event.data.encode(), ALIAS).decode())
    path = model_paths[dialect][0]
    value: Any = event.value
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str):
        return event
    pattern = rf'"{path[-1]}"(\s*:\s*){re.escape(json.dumps(value))}'
    return Event(event.name, re.sub(pattern, rf'"{path[-1]}"\1"{ALIAS}"', event.data, count=1))
