"""The downstream side of a response: who receives it, and who produces it.

Nothing is known here of HTTP connections or of exchanges: `RequestCycle` is a `Downstream`, an exchange is a
`ResponseProducer`, and each knows only this interface of the other.
"""

from proxy.native import mypyc_attr, trait


@mypyc_attr(allow_interpreted_subclasses=True)
class ResponseProducer:
    """The object that produces a response body for a `Downstream`; receives its backpressure and its disconnect.

    All three may be called at any time until the downstream has been given the last bytes, and not after.
    """

    def pause(self) -> None:
        """The downstream's write buffer is full: produce no more until `resume`. What is written still is kept."""
        raise NotImplementedError

    def resume(self) -> None:
        """The write buffer has drained: produce on."""
        raise NotImplementedError

    def client_disconnected(self) -> None:
        """The client is gone, or was dropped since it did not read (`Downstream.stalled`). Nothing reaches it now."""
        raise NotImplementedError


@trait
@mypyc_attr(allow_interpreted_subclasses=True)
class Downstream:
    """The receiver of one response: an HTTP request cycle, a job's spool, an MCP call, a turn on a WebSocket.

    `begin` once, then `write` until `last`; or `abort` or `fail` at any point. None of them waits, or raises for a
    client that is gone. It must not decide anything about the response.

    A trait, because the HTTP request cycle has a base class of its own. Implementations that are not compiled inherit
    from `DownstreamBase` instead.
    """

    #: HTTP status of the response; 0 until `begin`.
    status: int
    #: Bytes of the body that were handed over by `write`, framing not counted.
    bytes_out: int
    #: The client was dropped because it did not read.
    stalled: bool
    #: Receives backpressure and the client's disconnect; None before and after the exchange.
    producer: ResponseProducer | None

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        """Set the head. It leaves with the first `write`.

        `lines` are whole header lines, each with its CRLF, without framing; `length` is the body's in bytes, or None
        where it is not known yet.
        """
        raise NotImplementedError

    def write(self, data: bytes, last: bool) -> None:
        """Hand over the next bytes of the body; `data` may be empty where `last` is set."""
        raise NotImplementedError

    def abort(self) -> None:
        """Cut the response: what was written leaves, but no end mark does. It must not look complete."""
        raise NotImplementedError

    def fail(self, fault: BaseException) -> None:
        """End the response after a fault inside the gateway: by a 500 if nothing of it has left, else by `abort`."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class DownstreamBase(Downstream):
    """A `Downstream` with the attributes of one, to inherit from in code that is not compiled."""

    def __init__(self) -> None:
        self.status = 0
        self.bytes_out = 0
        self.stalled = False
        self.producer = None
