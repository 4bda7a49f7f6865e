"""Reads a relayed answer for the id of what it creates, and tells the ledger whose that is before the bytes leave.

It sees upstream's bytes before the client does, keeps at most one event, and looks no further once it has the id.
"""

import re
import time

import msgspec

from proxy.errors import UpstreamProtocolError
from proxy.ledger.ownership import Owners
from proxy.ledger.record import Owned
from proxy.policies.references import ID
from proxy.wire.json_repair import repaired
from proxy.wire.json_scan import TopLevelScanner
from proxy.wire.sse import SSEParser

_DATA = re.compile(rb"^data:(.*)$", re.MULTILINE)


class _Inner(msgspec.Struct, gc=False):
    id: str = ""


class _Event(msgspec.Struct, gc=False):
    response: _Inner | None = None


_event = msgspec.json.Decoder(_Event)
_string = msgspec.json.Decoder(str)


class ResponseWatch:
    """Watches one answer, or the next one where another attempt is made."""

    def __init__(self, owners: Owners, key: str, kind: str, max_event_bytes: int) -> None:
        self._owners = owners
        self._key = key
        self._kind = kind
        self._max_event_bytes = max_event_bytes
        self._place = ("", "", "")
        self._framer: SSEParser | None = None
        self._scanner: TopLevelScanner | None = None

    def begin(self, upstream: str, alias: str, model: str, *, events: bool) -> None:
        """An answer begins."""
        self._place = (upstream, alias, model)
        self._framer = SSEParser(self._max_event_bytes) if events else None
        self._scanner = None if events else TopLevelScanner(b"id", b"", b"")

    def see(self, data: bytes) -> None:
        """Its next bytes."""
        if self._framer is not None:
            try:
                blocks = self._framer.feed(data)
            except UpstreamProtocolError:
                # The relay's own framer says so too, and ends the answer.
                self._framer = None
                return
            for block in blocks:
                self._take(_id_in(block))
        elif self._scanner is not None:
            self._scanner.feed(data)
            if self._scanner.found:
                self._take(_decoded(self._scanner.found))

    def _take(self, id_: str) -> None:
        if (self._framer is None and self._scanner is None) or ID.fullmatch(id_) is None:
            return
        self._framer = self._scanner = None
        upstream, alias, model = self._place
        created = time.time_ns() // 1000
        self._owners.record(Owned(id_, self._kind, self._key, upstream, created, alias, model))


def _id_in(block: bytes) -> str:
    """The id of the response that an event is about, or ""."""
    payload = b"\n".join(_DATA.findall(block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")))
    try:
        try:
            event = _event.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            event = _event.decode(repaired(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return event.response.id if event.response is not None else ""


def _decoded(raw: bytes) -> str:
    try:
        return _string.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
