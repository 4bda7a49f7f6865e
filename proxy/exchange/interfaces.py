"""The four nouns of an exchange: `Downstream`, `Origin`, `ResponseWriter` and `ResponseObserver`.

    Origin --(ResponseWriter: begin, write, finish, refuse, fail)--> Exchange --(Downstream: begin, write)--> client
                                                                       `--> ResponseObserver (begin, data, end)

Everything happens inside callbacks of the event loop; nothing here may wait. An `Exchange` asks an `Origin` to start,
the origin writes its response to the exchange, the exchange writes it to the `Downstream`, shows it to the observers on
the way, and settles once. Backpressure and the client's disconnect run the other way: Downstream, Exchange, Origin.

`Downstream` and `ResponseProducer` live in `proxy.server.downstream`, because rooms import downwards only and the HTTP
request cycle, which is in `server`, implements the former. They are to be imported from here.

All are base classes that code which is not compiled may inherit from (`Downstream` by `DownstreamBase`), and calls by
them cost no more than calls by a concrete class.
"""

from typing import ClassVar, Final

from proxy.errors import GatewayError, GatewayStopped
from proxy.ledger.record import Outcome, UsageRecord
from proxy.native import mypyc_attr
from proxy.server.downstream import Downstream as Downstream
from proxy.server.downstream import DownstreamBase as DownstreamBase
from proxy.server.downstream import ResponseProducer as ResponseProducer

# States of an exchange, in their order: `state >= COMMITTED` is a question that may be asked.
#: Nothing has been sent to the client.
WAITING: Final = 0
#: The head and heartbeats have been sent, and nothing of a response: another attempt is still possible.
HEAD_SENT: Final = 1
#: Content has been sent: no other attempt is possible.
COMMITTED: Final = 2
#: Settled: the bill is written, and nothing more may be called.
SETTLED: Final = 3


class ResponseHead:
    """The head of a response as observers see it: after the gateway's rewriting, before the client."""

    def __init__(self, status: int, lines: bytes, is_events: bool, provider: str, model: str) -> None:
        self.status = status
        #: Header lines of the content, without those that the gateway adds about itself.
        self.lines = lines
        #: The body is made of server-sent events.
        self.is_events = is_events
        #: The names of the upstream and of its model, as they are billed; a client must not see them.
        self.provider = provider
        self.model = model


@mypyc_attr(allow_interpreted_subclasses=True)
class ResponseWriter(ResponseProducer):
    """What an `Origin` writes its response to: the exchange.

    Of `finish`, `refuse`, `fail` and `crash` exactly one is called, as the last call; before it, for a response that is
    sent in parts, `begin` once and then `write`. Of a whole response `finish` is called alone.
    """

    #: WAITING, HEAD_SENT, COMMITTED or SETTLED.
    state: int = WAITING
    #: The client's reading is behind: between `pause` and `resume`.
    paused: bool = False
    #: The client has disconnected: nothing that is written reaches it, though observers see it still.
    client_gone: bool = False
    #: For the timeout sweeper, where it is a member, and takes itself out.
    done: bool = False

    def begin(self, status: int, lines: bytes, is_events: bool) -> None:
        """Commit to a response that is sent in parts: from now on there is no other attempt.

        `lines` are the header lines of the content, each with its CRLF; the gateway's own are added.
        """
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send the next bytes of the body to the client; `begin` was called."""
        raise NotImplementedError

    def finish(self, status: int, lines: bytes, is_events: bool, last: bytes, outcome: Outcome = "complete") -> None:
        """The response is whole, with these last bytes: settle, then let them leave.

        The head is sent, with the length of `last`, if `begin` has not been called; else `status` and `lines` do not
        matter. `outcome` is "upstream_error" where the response says itself that it failed.
        """
        raise NotImplementedError

    def refuse(self, status: int, lines: bytes, body: bytes, error: GatewayError, error_code: str) -> None:
        """The origin refuses the request with a response of its own, or, where the head has left, with `error`."""
        raise NotImplementedError

    def fail(self, error: GatewayError) -> None:
        """The origin has failed for good: respond with the error, or end the response that was begun with it."""
        raise NotImplementedError

    def settle_disconnected(self, outcome: Outcome | None = None, *, whole: bool = False) -> None:
        """The client is gone, and the origin, which read on without it, has what the bill needs.

        The outcome is that of a client that left, unless the origin knows better; `whole` says that the response was
        read to its end.
        """
        raise NotImplementedError

    def hand_over(self, origin: "Origin") -> None:
        """Have another origin respond in place of this one, which has written nothing and lets go of everything."""
        raise NotImplementedError

    def heartbeat(self, now: float, between_events: bool) -> None:
        """A sweep of the clock, at `now` in monotonic seconds: send a heartbeat if one is due and may stand here."""
        raise NotImplementedError

    def cancel(self, error: GatewayError) -> None:
        """Stop the origin, and end the response with this error; from outside of the origin, at any time."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """The gateway is shutting down and cannot wait any longer."""
        self.cancel(GatewayStopped())

    def crash(self, fault: Exception) -> None:
        """A fault inside the gateway: stop the origin, log the fault, and end the response with a 500 or a cut."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Origin:
    """Who responds to a request: the upstreams, a stored response, a mock, a hedged pair, an agent loop.

    Everything of it happens between `start` and `final`. It must not know the downstream.
    """

    # For the head of the response. They may change until the response begins.
    #: The name of the upstream, and of its model; sent to clients only if the operator chose so.
    provider: str = ""
    model: str = ""
    #: Seconds that the first byte of the response may take.
    first_byte_limit: float = 0.0
    #: Another upstream than the first one responds.
    fell_back: bool = False
    #: From `start` to `final` a part of it is in the timeout sweeper, which ends the exchange in time and
    #: at a shutdown. For any other origin the exchange itself is, and sends heartbeats until the response begins.
    is_timed: ClassVar[bool] = False

    def start(self, exchange: ResponseWriter) -> None:
        """Begin to produce the response for `exchange`. Called once. May raise a `GatewayError` in place of `fail`."""
        raise NotImplementedError

    def pause(self) -> None:
        """The client's reading is behind: write no more until `resume`, as far as that is possible.

        Nothing by default, as the two below: right for an origin that sees it by `ResponseWriter.paused`, or that is
        done once it has started.
        """

    def resume(self) -> None:
        """The client has caught up."""

    def client_left(self, stalled: bool) -> bool:
        """The client is gone; `stalled` says that it was dropped because it did not read.

        True: the origin works on by itself, to learn what the request cost, and calls `finish`, `refuse`, `fail` or
        `settle_disconnected` later. False: it has stopped, and the exchange settles now.
        """
        return False

    def cancel(self) -> None:
        """Stop at once, and call nothing of the exchange any more. `final` may still come."""

    def final(
        self, outcome: Outcome, error_code: str | None, status: int, first_write: float, bytes_out: int
    ) -> UsageRecord:
        """The bill, since the origin knows what was spent. The last call, made once: let go of everything that is held.

        `first_write` is the monotonic time at which the first content was sent, 0 if none was; `bytes_out` the bytes
        of the body that the client has been sent.
        """
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class ResponseObserver:
    """Who looks on: cache fill, id capture, output guardrail, tracing. Put on `RequestContext.observers` by policies.

    It sees what the client gets, after the gateway's rewriting and before it is sent. `begin` and `data` may raise a
    `GatewayError` to abort the response: the client gets that error honestly, and the origin is cancelled. It must
    not wait, and keeps of the data what it needs and no more. It does not see error responses of the gateway,
    nor heartbeats; `end` is called for them too, and for a request that a later policy refuses. It looks on at
    inference endpoints alone. A request without observers pays nothing.
    """

    def begin(self, head: ResponseHead) -> None:
        """A response begins; called at most once."""

    def data(self, data: bytes) -> None:
        """The next bytes of the body; not called with none."""

    def end(self, final: UsageRecord, whole: bool) -> None:
        """The request is settled; `whole` says that the response was complete. Called once, whatever happened."""
