"""What the taps of all dialects share: the counters, the last usage object, and how an error's text is scrubbed."""

import re
from typing import Final

import msgspec

from proxy.errors import UpstreamProtocolError
from proxy.wire.usage import Usage, read_usage

EMPTY: Final = msgspec.Raw()
NULL: Final = msgspec.Raw(b"null")
NOTHING: Final = (EMPTY, NULL)
# Ids of accounts and keys as they stand in error texts.
_ACCOUNT = re.compile(rb"\b(?:org|proj|sk|user|acct)[-_][A-Za-z0-9*_-]{4,}")


class BaseTap:
    """Reads nothing by itself; a dialect's tap adds `path` and `read`."""

    __slots__ = ("_alias", "_upstream_model", "_usage", "drop", "ended", "failed", "finished", "text_out")
    path: tuple[str, ...]
    #: The text of an event that brought nothing else; empty where events differ in more than their text.
    plain = b""

    def __init__(self, alias: str, upstream_model: str, drop_usage: bool) -> None:
        self._alias = alias.encode()
        self._upstream_model = upstream_model.encode()
        self._usage = EMPTY
        self.drop = False
        self.failed = False
        self.ended = False
        #: The answer said of itself that it is whole.
        self.finished = False
        #: Bytes of text seen, JSON escapes included; what an estimate is made from.
        self.text_out = 0

    def scrub(self, block: bytes) -> bytes:
        """An error's bytes with the alias for the upstream's model name, and without account ids."""
        return scrub(block, self._upstream_model, self._alias)

    def usage(self) -> Usage | None:
        """What the answer said it used, from the last usage object that was not null."""
        return read_usage(bytes(self._usage)) if self._usage is not EMPTY else None

    def take_usage(self, raw: bytes) -> None:
        """Set the usage object of an answer that was not read through `read`."""
        if raw:
            self._usage = msgspec.Raw(raw)

    def _note(self, usage: msgspec.Raw, error: msgspec.Raw) -> None:
        """Keep a usage object, and that there was an error."""
        if usage is not EMPTY and usage != NULL:
            self._usage = usage
        if error is not EMPTY and error != NULL:
            self.failed = True


def scrub(text: bytes, upstream_model: bytes, alias: bytes) -> bytes:
    """Replace the upstream's model name by the alias, and blank the ids of accounts and keys."""
    if upstream_model and upstream_model != alias:
        text = text.replace(upstream_model, alias)
    return _ACCOUNT.sub(b"***", text)


def broken(error: Exception) -> UpstreamProtocolError:
    """The error for an answer that is not JSON."""
    return UpstreamProtocolError("The model's answer could not be read.", detail=f"not JSON: {type(error).__name__}")
