"""Times a stream of the gateway's own through its public address: does a proxy in front of it buffer, or compress?

It sends one GET without a key to `/health/stream`, whose events come at even distances. Bounded in time and in bytes.
"""

import http.client
import ssl
import time
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec

#: Seconds for the connection, and between two pieces of the response.
TIMEOUT_SECONDS: Final = 10.0
MAX_BYTES: Final = 65_536
#: Where the gateway serves the stream, and what it consists of.
PATH: Final = "/health/stream"
EVENTS: Final = 4
EVENT_SECONDS: Final = 0.25
#: Between the first and the last event, less than this part of the time in which they were sent means that they were
#: held back.
_MIN_SPREAD: Final = 0.5
_NGINX: Final = (
    "in nginx: proxy_buffering off; proxy_http_version 1.1; gzip off; in the location of the gateway, and "
    "proxy_ignore_headers must not name X-Accel-Buffering (deploy/nginx.conf)"
)


class Finding(NamedTuple):
    """What was found, and how to mend it."""

    state: Literal["ok", "warn", "fail"]
    message: str
    hint: str = ""


class Timed(msgspec.Struct, frozen=True):
    """A response, and when its events came: seconds since the request was sent."""

    status: int
    kind: str
    encoding: str
    events: tuple[float, ...]


def check_stream(url: str) -> Finding:
    """Ask for the stream through an address, such as `https://api.example.com`, and judge it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return Finding("fail", f"{url} is no address", "write it as https://api.example.com")
    try:
        return judged(_timed(parts))
    except ssl.SSLError as error:
        return Finding("fail", f"no TLS connection: {error.reason or error}", "check the certificate of the proxy")
    except TimeoutError:
        what = f"nothing came within {TIMEOUT_SECONDS:g} s"
        return Finding("fail", what, "check the address, the proxy's upstream and its timeouts")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Finding("fail", f"no response: {error}", "check the address, and that the proxy and the gateway run")


def judged(timed: Timed) -> Finding:
    """What a response and its times mean."""
    if timed.status in (502, 503, 504):
        what = f"the proxy cannot reach the gateway (status {timed.status}), or the gateway is overloaded"
        return Finding("fail", what, "check the proxy's upstream address, and /readyz")
    if timed.status != 200 or not timed.kind.startswith("text/event-stream"):
        what = f"GET {PATH} got status {timed.status} ({timed.kind or 'no content type'})"
        return Finding("fail", what, "name the address of this gateway, without /v1, and let the proxy pass this path")
    if len(timed.events) < EVENTS:
        return Finding("fail", f"the stream was cut after {len(timed.events)} of {EVENTS} events", _NGINX)
    spread = timed.events[-1] - timed.events[0]
    sent = EVENT_SECONDS * (EVENTS - 1)
    if spread < sent * _MIN_SPREAD:
        what = f"streams are buffered: {EVENTS} events of {sent:.2f} s came within {spread:.2f} s"
        return Finding("fail", what, _NGINX)
    first = timed.events[0] * 1_000
    if timed.encoding not in ("", "identity"):
        what = f"streams pass in pieces, but compressed ({timed.encoding}): tokens may wait for a block to be full"
        return Finding("warn", what, "switch compression off for text/event-stream")
    return Finding("ok", f"streams pass unbuffered; the first byte came after {first:.0f} ms")


def _timed(parts: SplitResult) -> Timed:
    """Send the request and note when each event came."""
    host = parts.hostname or ""
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        # The handshake is no matter of buffers.
        connection.connect()
        began = time.monotonic()
        headers = {"accept": "text/event-stream", "accept-encoding": "gzip, br", "user-agent": "prometheus-gateway"}
        connection.request("GET", parts.path.rstrip("/") + PATH, headers=headers)
        response = connection.getresponse()
        kind, encoding = response.getheader("content-type", ""), response.getheader("content-encoding", "")
        pieces: list[tuple[float, bytes]] = []
        size = 0
        while size < MAX_BYTES and (piece := response.read1(MAX_BYTES)):
            pieces.append((time.monotonic() - began, piece))
            size += len(piece)
        return Timed(response.status, kind, encoding, _event_times(pieces, encoding))
    finally:
        connection.close()


def _event_times(pieces: Sequence[tuple[float, bytes]], encoding: str) -> tuple[float, ...]:
    """When each event was whole. What is compressed is not unpacked: each of its pieces counts as an event."""
    if encoding not in ("", "identity"):
        times = [moment for moment, _ in pieces][-EVENTS:]
        return tuple(times if len(times) == EVENTS else [moment for moment, _ in pieces[-1:]] * EVENTS)
    found: list[float] = []
    data = b""
    for moment, piece in pieces:
        data += piece
        found += [moment] * (data.count(b"\n\n") - len(found))
    return tuple(found)
