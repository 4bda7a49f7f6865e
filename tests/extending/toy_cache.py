"""The one file of a cache: a policy that keeps whole responses, and answers the same body with a replay."""

from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin, ResponseHead, ResponseObserver
from proxy.exchange.replay import ReplayOrigin, StoredResponse
from proxy.ledger.record import UsageRecord
from proxy.policies.base import GatewayState, Policy

MAX_BYTES = 1_000_000


class Recorder(ResponseObserver):
    """Keeps a response for the cache, once it is known to be whole."""

    def __init__(self, cache: "ToyCache", key: tuple[str, bytes]) -> None:
        self._cache = cache
        self._key = key
        self._head: ResponseHead | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def begin(self, head: ResponseHead) -> None:
        self._head = head

    def data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= MAX_BYTES:
            self._parts.append(data)

    def end(self, final: UsageRecord, whole: bool) -> None:
        head = self._head
        if whole and head is not None and head.status == 200 and self._size <= MAX_BYTES:
            parts = tuple(self._parts)
            stored = StoredResponse(head.status, head.lines, head.is_events, parts, head.provider, head.model)
            self._cache.stored[self._key] = stored


class ToyCache(Policy):
    """Answers by alias and messages."""

    # Things with an id are not cached.
    checks_resources = False

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        self.stored: dict[tuple[str, bytes], StoredResponse] = {}

    def admit(self, context: RequestContext) -> Origin | None:
        key = (f"{context.body.model}{context.body.stream}", bytes(context.body.fields.get("messages", b"")))
        stored = self.stored.get(key)
        if stored is not None:
            context.lines += b"X-Prism-Cache: hit\r\n"
            return ReplayOrigin(context, stored)
        context.lines += b"X-Prism-Cache: miss\r\n"
        context.observers = (*context.observers, Recorder(self, key))
        return None
