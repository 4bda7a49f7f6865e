"""ModelWriter and ModelReader: the interface between the reader of one dialect and the writer of another.

The methods of the writer are the whole vocabulary; neither side knows the other's format. Texts are JSON strings as
they came, quotes and escapes included: all dialects are JSON, so they are copied and not decoded. A writer must write a
piece in the turn in which it comes, unless its format forces it to wait; it must not end a response by itself.
"""

from typing import Final

from proxy.native import mypyc_attr
from proxy.wire.schemas import Usage

# Why a response ended. What the content says counts more: with a call of a tool, STOP is CALLS.
STOP: Final = "stop"
LENGTH: Final = "length"
CALLS: Final = "calls"
#: The provider's policy ended it.
REFUSED: Final = "refused"
#: The provider has to be asked again to go on.
PAUSED: Final = "paused"


@mypyc_attr(allow_interpreted_subclasses=True)
class ModelWriter:
    """Writes a response in the caller's dialect. What was written is taken by `take`."""

    def __init__(self) -> None:
        self.out: list[bytes] = []

    def take(self) -> bytes:
        """What was written since the last time."""
        out = self.out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    def start(self, upstream_id: str) -> None:
        """The response has begun; the id may be empty. Called once, before anything else."""
        raise NotImplementedError

    def text(self, raw: bytes) -> None:
        """The next piece of the text."""
        raise NotImplementedError

    def reasoning(self, raw: bytes) -> None:
        """The next piece of what the model thinks."""
        raise NotImplementedError

    def signature(self, value: str) -> None:
        """What the provider wants back with the thoughts before it, unread; they end with it."""

    def redacted(self, value: str) -> None:
        """Encrypted thoughts, which the provider wants back."""

    def refusal(self, raw: bytes) -> None:
        """The next piece of a refusal in the model's words."""
        raise NotImplementedError

    def open_call(self, place: int, id: str, name: str) -> None:
        """A call of a tool begins; `place` is different for calls that go on side by side."""
        raise NotImplementedError

    def arguments(self, place: int, raw: bytes) -> None:
        """The next piece of a call's arguments, as a JSON string that holds JSON."""
        raise NotImplementedError

    def close(self) -> None:
        """What was open, a text, thoughts or calls, is complete."""

    def finish(self, reason: str) -> None:
        """Why it ended. Its usage may still come."""
        raise NotImplementedError

    def end(self, usage: Usage | None) -> None:
        """It is whole."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class ModelReader:
    """Reads a response of the target's dialect, and calls the writer for each piece of it."""

    def __init__(self, writer: ModelWriter) -> None:
        self.writer = writer

    def event(self, payload: bytes) -> None:
        """The data of one event. Raises `UpstreamProtocolError` for what cannot be read."""
        raise NotImplementedError

    def whole(self, payload: bytes) -> None:
        """A response that is no stream. Raises `UpstreamProtocolError`."""
        raise NotImplementedError
