"""The events of runs: what they say of models, usage and the ids they make, read on the side of the stream.

Facts of the wire: https://platform.openai.com/docs/api-reference/assistants-streaming/events.
"""

from typing import Final

import msgspec

from proxy.dialects.lenient import decode_lenient
from proxy.dialects.scrub import NO_NAMES, scrub
from proxy.wire.schemas import Usage
from proxy.wire.usage import Reading, reading, usage_of

_EMPTY: Final = msgspec.Raw()
_NULL: Final = msgspec.Raw(b"null")
#: The objects that are recorded; others are parts of them.
KINDS: Final = frozenset({"thread", "thread.run", "thread.message"})
#: Where a run rests: the stream ends after it.
_RESTING: Final = frozenset({"requires_action", "cancelled", "failed", "completed", "incomplete", "expired"})


class _Event(msgspec.Struct, gc=False):
    id: str = ""
    object: str = ""
    status: str | None = None
    model: msgspec.Raw = _EMPTY
    usage: msgspec.Raw = _EMPTY
    error: msgspec.Raw = _EMPTY
    code: msgspec.Raw = _EMPTY


_event = msgspec.json.Decoder(_Event)


class RunMeter:
    """Reads one stream of a run's events."""

    path: tuple[str, ...] = ("model",)
    plain = b""
    counts_so_far = False

    def __init__(self, alias: str, model: str) -> None:
        self._alias = alias.encode()
        self._model = model.encode()
        self._usage = Reading({})
        #: What an error may quote beside the model's name, and what is shown for it.
        self.hidden = NO_NAMES
        self.drop = False
        self.failed = False
        self.ended = False
        self.terminal = False
        self.finished = False
        self.text_out = 0
        #: (id, kind) of what was made since `made` was last cleared, and the events that may name files.
        self.made: list[tuple[str, str]] = []
        self.naming: list[bytes] = []

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event; return the raw value of its model. Raises `UpstreamProtocolError` when it is not JSON."""
        try:
            event = _event.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            event = decode_lenient(_Event, payload, error)
        if event.object in KINDS:
            self.made.append((event.id, event.object))
        if b"file_id" in payload:
            self.naming.append(payload)
        if event.object == "thread.run":
            self.finished = event.status in _RESTING
            if event.usage is not _EMPTY and event.usage != _NULL:
                self._usage = self._usage.under(reading(bytes(event.usage)))
        # The error event has no object: {"code": …, "message": …}, or one around it.
        self.failed = not event.object and (event.error is not _EMPTY or event.code is not _EMPTY)
        self.finished = self.finished or self.failed
        return event.model

    def scrub(self, block: bytes) -> bytes:
        """An error's bytes with the alias for the upstream's model name, and without account ids."""
        return scrub(block, self._model, self._alias, self.hidden)

    def usage(self) -> Usage | None:
        """The usage of the run, once it rests."""
        return usage_of(self._usage)

    def take_usage(self, raw: bytes) -> None:
        """Not used: a stream has its usage in its events."""
