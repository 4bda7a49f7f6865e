"""Runs the application for one request: inline where that is possible, else as an ASGI application.

An application may have a method `try_handle_inline`: it is called first, with a request whose body has arrived whole,
and serves it without a coroutine, or returns the application that goes on with it. Everything else gets ASGI's scope,
`receive` and `send`, which frame and write nothing by themselves: the cycle's `begin` and `write` do.
"""

from functools import partial
from typing import Any, Final

from proxy.server.cycle import COMPLETE, EXTENSION, RUNNING, RequestCycle
from proxy.server.waiter import RequestWaiter

VERSION: Final = {"version": "3.0", "spec_version": "2.3"}
#: Header lines that the cycle writes, from what it is told and what the connection needs.
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})


def run(cycle: RequestCycle, app: Any) -> None:
    """Serve a request by an application, whose own error becomes a 500, or an abort where the response had begun."""
    if cycle.state >= COMPLETE:
        return
    cycle.state = RUNNING
    body = cycle.body
    if body.complete and not body.expects_continue:
        try_handle_inline = getattr(app, "try_handle_inline", None)
        if try_handle_inline is not None:
            try:
                app = try_handle_inline(cycle)
            except Exception as error:  # noqa: BLE001 (the border of the application)
                _ended(cycle, error)
                return
    if app is not None:
        context = cycle.protocol.context
        waiter = cycle.waiter = RequestWaiter(cycle.loop, context.state.tasks, partial(_ended, cycle))
        if body.complete or body.received:
            waiter.set()
        channel = ASGIChannel(cycle, waiter)
        waiter.start(app(scope_of(cycle), channel.receive, channel.send))
    if cycle.protocol.flow.write_paused and cycle.producer is not None:
        # By the response before it, which the client has not read yet.
        cycle.producer.pause()


def _ended(cycle: RequestCycle, error: Exception | None) -> None:
    if error is not None:
        cycle.fail(error)
    else:
        cycle.end_unfinished()
    cycle.release()


def scope_of(cycle: RequestCycle) -> dict[str, Any]:
    """The ASGI scope of a request."""
    head, transport = cycle.head, cycle.transport
    length = cycle.content_length
    return {
        "type": "http",
        "asgi": VERSION,
        "http_version": head.version,
        "server": address_of(transport.get_extra_info("sockname")),
        "client": address_of(transport.get_extra_info("peername")),
        "scheme": "http",
        "method": head.method,
        "root_path": "",
        "path": head.path,
        "raw_path": head.raw_path,
        "query_string": head.query,
        "headers": head.headers if length is None else head.headers_with_length(length),
        "state": {},
        "extensions": {EXTENSION: cycle},
    }


def address_of(name: Any) -> tuple[str, int] | None:
    """A socket's name as ASGI has it; None where it has no host and port."""
    return (name[0], name[1]) if isinstance(name, tuple) else None


class ASGIChannel:
    """ASGI's `receive` and `send` for one request."""

    def __init__(self, cycle: RequestCycle, waiter: RequestWaiter) -> None:
        self._cycle = cycle
        self._waiter = waiter
        #: Bytes that the application has announced, and not sent yet; None where it has announced no length.
        self._bytes_left: int | None = None

    async def receive(self) -> dict[str, Any]:
        """The next part of the body; `http.disconnect` once the client has left or the response is complete."""
        cycle, waiter = self._cycle, self._waiter
        cycle.send_continue()
        if cycle.state < COMPLETE:
            cycle.resume_body()
            await waiter.wait()
            waiter.clear()
        if cycle.state >= COMPLETE:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": cycle.body.take(), "more_body": not cycle.body.complete}

    async def send(self, message: Any) -> None:
        """Begin the response, or write a part of its body. Raises `RuntimeError` for a message out of order."""
        cycle = self._cycle
        if cycle.state < COMPLETE:
            await cycle.drain()
        if cycle.disconnected:
            return
        expected = "http.response.body" if cycle.response_started else "http.response.start"
        if message["type"] != expected or cycle.state >= COMPLETE:
            raise RuntimeError(f"The application sent {message['type']!r} out of order.")
        if expected == "http.response.start":
            self._begin(message["status"], message.get("headers", ()))
        else:
            self._write(message.get("body", b""), not message.get("more_body", False))

    def _begin(self, status: int, headers: Any) -> None:
        lines = b""
        length: int | None = None
        for name, value in headers:
            if b"\r" in name + value or b"\n" in name + value:
                raise RuntimeError("The application sent a header with a line end in it.")
            name = name.lower()
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and b"close" in value.lower():
                self._cycle.keep_alive = False
            if name not in _FRAMING:
                lines += b"%b: %b\r\n" % (name, value)
        self._bytes_left = None if self._cycle.head.method == "HEAD" else length
        self._cycle.begin(status, lines, length)

    def _write(self, data: bytes, last: bool) -> None:
        if self._bytes_left is not None:
            self._bytes_left -= len(data)
            if self._bytes_left < 0 or (last and self._bytes_left):
                raise RuntimeError("The application sent a body of another length than it had announced.")
        self._cycle.write(data, last)
