"""Observes a response for the id of what it creates, and records in the ledger who owns that before it is sent.

It keeps at most one event, and looks no further once it has the id.
"""

import re
import time

import msgspec

from proxy.exchange.interfaces import ResponseHead, ResponseObserver
from proxy.ledger.ownership import Owners
from proxy.ledger.record import OwnershipRecord
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


class ResponseIdCapture(ResponseObserver):
    """Finds the id in one response, and records the key that owns it before any byte of it is sent."""

    def __init__(self, owners: Owners, key: str, kind: str, alias: str, max_event_bytes: int) -> None:
        self._owners = owners
        self._key = key
        self._kind = kind
        self._alias = alias
        self._max_event_bytes = max_event_bytes
        #: The upstream, and its model.
        self._made_by = ("", "")
        #: One of the two, by the kind of response, until the id is found.
        self._parser: SSEParser | None = None
        self._scanner: TopLevelScanner | None = None

    def begin(self, head: ResponseHead) -> None:
        self._made_by = (head.provider, head.model)
        if head.is_events:
            self._parser = SSEParser(self._max_event_bytes)
        else:
            self._scanner = TopLevelScanner(b"id", b"", b"")

    def data(self, data: bytes) -> None:
        if self._parser is not None:
            for block in self._parser.feed(data):
                self._record(_id_in(block))
        elif self._scanner is not None:
            self._scanner.feed(data)
            if self._scanner.found:
                self._record(_decoded(self._scanner.found))

    def _record(self, id_: str) -> None:
        if (self._parser is None and self._scanner is None) or ID.fullmatch(id_) is None:
            return
        self._parser = self._scanner = None
        upstream, model = self._made_by
        created = time.time_ns() // 1000
        self._owners.record(OwnershipRecord(id_, self._kind, self._key, upstream, created, self._alias, model))


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
