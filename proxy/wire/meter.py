"""The interface between a rewriter and the dialect that reads its events: what is metered, where the model stands."""

import msgspec

from proxy.native import mypyc_attr
from proxy.wire.json_scan import TopLevelScanner


@mypyc_attr(allow_interpreted_subclasses=True)
class UsageMeter:
    """Reads the events of one upstream response beside the relay; a base class, with one subclass per response format.

    It changes no bytes, but those of an error (`scrub`), and keeps counters, never text.
    """

    __slots__ = ("drop", "ended", "failed", "text_out")

    #: Where the model's name stands in an event.
    path: tuple[str, ...]
    #: The event read last is one that the client did not ask for: the rewriter leaves it out.
    drop: bool
    #: An error of the upstream was read: from that event on, the bytes must be scrubbed.
    failed: bool
    #: The response has ended by its dialect's own end marker.
    ended: bool
    #: Bytes of text seen.
    text_out: int
    #: Where the event read last only brought text: that text's raw value, under `content`; else empty.
    plain: bytes = b""
    #: Of a response too large to be decoded: the keys whose short values are kept, and of the list that is counted.
    scalar_keys: tuple[bytes, ...] = ()
    list_key: bytes = b""

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event's JSON; return the raw value of its model, or an empty one.

        Raises `UpstreamProtocolError` when it is not JSON.
        """
        raise NotImplementedError

    def scrub(self, block: bytes) -> bytes:
        """An error's bytes without the names and ids of the upstream."""
        raise NotImplementedError

    def follow(self, scanner: TopLevelScanner) -> None:
        """The response is too large to be decoded: `scanner` says what it has found so far, also if the end is cut."""
