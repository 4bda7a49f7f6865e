"""A fake provider, in a process of its own and as fast as Python allows: the script is the model name in the request.

    python -m benchmarks.upstream [--port N]

It prints its address on stdout and serves until it gets SIGTERM or SIGINT. It must not be clever: no state between
requests, no chance, no checks of what a client may do, so that it costs the same in front of every system.

`POST /v1/chat/completions`: `bench-each-N` (the head, the role and each of N events in a write of its own, without a
pause), `bench-first` (the same with three events), `bench-burst-N` (N events in one write after the head),
`bench-paced-N-MS` (one event each MS milliseconds), `bench-json`; without `stream` the response to each is one JSON
object. `POST /v1/embeddings`: `bench-embedding-BYTES`. `GET /v1/models`, and `GET /health` for proxies that ask.

Of a large body only the two ends are looked at: its model and its options must stand there, and the long text between.
Reading all of it would take longer than all of what a proxy adds.
"""

import argparse
import asyncio
import gc
import re
import signal
from typing import cast

import httptools
import msgspec
import uvloop

from benchmarks.responses import (
    Response,
    UnknownScript,
    chat_response,
    embedding_response,
    failure_response,
    models_response,
)
from benchmarks.sockets import push

LARGEST_BODY = 64 * 1024 * 1024
LARGEST_BACKLOG = 4 * 1024 * 1024
MAX_KEPT_RESPONSES = 256

_CHAT = b"/v1/chat/completions"
_EMBEDDINGS = b"/v1/embeddings"
_MODELS = b"/v1/models"
_HEALTH = b"/health"
#: A body of more than this is large; the ends of one are so long.
_LARGE = 65_536
_END_BYTES = 512
_MODEL = re.compile(rb'"model": ?("[^"\\]+")')
_STREAM = re.compile(rb'"stream": ?true')
_USAGE = re.compile(rb'"include_usage": ?true')


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Request(msgspec.Struct):
    model: str
    stream: bool | None = False
    stream_options: _StreamOptions | None = None


_DECODER = msgspec.json.Decoder(_Request)


class Responses:
    """Finds the response to a request, and keeps a bounded number of them built."""

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, str, bool, bool], Response] = {}
        self._models = models_response()

    def find(self, method: bytes, path: bytes, body: bytes, large: bool) -> Response:
        """The response; of a large body only its two ends are given."""
        if path in (_MODELS, _HEALTH) and method == b"GET":
            return self._models
        if path not in (_CHAT, _EMBEDDINGS) or method != b"POST":
            return failure_response(
                "404 Not Found", f"No {method.decode()} {path.decode(errors='replace')}.", "not_found"
            )
        try:
            request = _ends(body) if large else _DECODER.decode(body)
        except msgspec.DecodeError as error:
            return failure_response("400 Bad Request", f"The body cannot be read: {error}.", "invalid_body")
        usage = request.stream_options is not None and request.stream_options.include_usage
        wanted = (path, request.model, bool(request.stream), usage)
        response = self._kept.get(wanted)
        if response is None:
            response = self._build(*wanted)
        return response

    def _build(self, path: bytes, model: str, stream: bool, include_usage: bool) -> Response:
        try:
            if path == _EMBEDDINGS:
                response = embedding_response(model)
            else:
                response = chat_response(model, stream=stream, include_usage=include_usage)
        except UnknownScript:
            return failure_response("404 Not Found", f"The model {model!r} is no script.", "model_not_found")
        if len(self._kept) < MAX_KEPT_RESPONSES:
            self._kept[path, model, stream, include_usage] = response
        return response


def _ends(body: bytes) -> _Request:
    """What a large body asks for, from its ends alone. Raises msgspec.DecodeError without a model there."""
    model = _MODEL.search(body)
    if model is None:
        raise msgspec.DecodeError("a large body names its model near neither of its ends")
    options = _StreamOptions(include_usage=_USAGE.search(body) is not None)
    return _Request(msgspec.json.decode(model[1], type=str), _STREAM.search(body) is not None, options)


class Connection(asyncio.Protocol):
    """One client: reads a request, writes its response, reads the next. A client that pipelines is dropped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, responses: Responses) -> None:
        self._loop = loop
        self._responses = responses
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._parts: list[bytes] = []
        self._size = 0
        self._keep_alive = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._transport.set_write_buffer_limits(high=LARGEST_BACKLOG)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._timer is not None:
            self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.abort()

    def on_message_begin(self) -> None:
        self._path = b""
        self._parts.clear()
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # A large upload of some clients waits for this response before it sends the body.
        if name.lower() == b"expect":
            push(self._transport, self._descriptor, b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > LARGEST_BODY:
            self._transport.abort()
            return
        self._parts.append(body)
        if self._size > _LARGE:
            # Of the middle nothing is kept.
            begin, end = self._parts[0], self._parts[-1]
            if len(begin) < _END_BYTES or len(end) < _END_BYTES:
                begin = end = b"".join(self._parts)
            self._parts = [begin[:_END_BYTES], end[-_END_BYTES:]]

    def on_message_complete(self) -> None:
        large = self._size > _LARGE
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        # The parser forgets it when it goes on to the next message, and a paced response ends later than that.
        self._keep_alive = self._parser.should_keep_alive()
        path = self._path.partition(b"?")[0]
        self._write(self._responses.find(self._parser.get_method(), path, body, large))

    def _write(self, response: Response) -> None:
        for piece in response.opening:
            push(self._transport, self._descriptor, piece)
        if response.paced:
            self._pace(response, self._loop.time(), 0)
        elif not self._keep_alive:
            self._transport.close()

    def _pace(self, response: Response, start: float, index: int) -> None:
        """Write event `index` and plan the next on the stream's own schedule, so that delays do not add up."""
        push(self._transport, self._descriptor, response.paced[index])
        index += 1
        if index < len(response.paced):
            when = start + index * response.interval
            self._timer = self._loop.call_at(when, self._pace, response, start, index)
            return
        self._timer = None
        push(self._transport, self._descriptor, response.closing)
        if not self._keep_alive:
            self._transport.close()


async def serve(port: int) -> None:
    """Serve on loopback until SIGTERM or SIGINT; prints the address first."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    responses = Responses()
    server = await loop.create_server(lambda: Connection(loop, responses), "127.0.0.1", port, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    # Nothing here makes cycles, and a collection would show as a stall of whatever system is being measured.
    gc.disable()
    await stopped.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upstream", description="The fake provider.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one (default)")
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
