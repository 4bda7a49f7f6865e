"""Compressed request bodies: inflated a slice at a time, up to the cap that holds for a body sent as it is.

A few bytes can stand for gigabytes, so nothing is inflated beyond the cap, and no call inflates more than one slice.
"""

import zlib
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final

from proxy.errors import BodyTooLarge, InvalidRequest
from proxy.wire.headers import Header

#: Bytes that one call takes in, and gives out at most.
MAX_SLICE_IN_BYTES: Final = 65_536
MAX_SLICE_OUT_BYTES: Final = 262_144
#: Streams that one body may be made of, one behind the other.
MAX_STREAMS: Final = 100
#: A body in zstd may look back so many bytes, as a power of two: what RFC 9659 asks every server to take.
MAX_ZSTD_WINDOW_LOG: Final = 23
_GZIP_WINDOW_BITS: Final = 31
_ZLIB_WINDOW_BITS: Final = 15
_RAW_WINDOW_BITS: Final = -15


class Decompressor:
    """Inflates one body; the caller decides when the next slice is due."""

    def __init__(self, encoding: str) -> None:
        """`encoding` is one of `encoding_of`. Raises `InvalidRequest` where zstd is not installed."""
        self._encoding = encoding
        self._zstd: Any = _zstd() if encoding == "zstd" else None
        self._stream: Any = None
        self._streams = 0
        #: Bytes that have come and that the running stream has not taken yet.
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body; `MAX_SLICE_IN_BYTES` of them at most, once `step` has given b""."""
        self._rest += data

    def step(self) -> bytes:
        """The next bytes inflated, `MAX_SLICE_OUT_BYTES` at most; b"" where more of the body is needed.

        Raises `InvalidRequest` for a body that is no such stream.
        """
        while True:
            if self._stream is None:
                if not self._rest:
                    return b""
                self._begin()
            try:
                out = self._inflate()
            except Exception as error:
                if not isinstance(error, (zlib.error, getattr(self._zstd, "ZstdError", zlib.error))):
                    raise
                raise _broken(self._encoding) from error
            ended = self._stream.eof
            if ended:
                self._rest = self._stream.unused_data
                self._stream = None
            if out or not ended:
                return out

    def finish(self) -> None:
        """The body has ended, and all of it was inflated. Raises `InvalidRequest` where its stream has not."""
        if self._stream is not None or not self._streams:
            raise InvalidRequest(f"The request body ends before its {self._encoding} stream does.")

    def _begin(self) -> None:
        self._streams += 1
        if self._streams > MAX_STREAMS:
            raise InvalidRequest(f"The request body is made of more than {MAX_STREAMS} {self._encoding} streams.")
        if self._zstd is not None:
            options = {self._zstd.DecompressionParameter.window_log_max: MAX_ZSTD_WINDOW_LOG}
            self._stream = self._zstd.ZstdDecompressor(options=options)
        elif self._encoding == "gzip":
            self._stream = zlib.decompressobj(_GZIP_WINDOW_BITS)
        else:
            # Some clients leave out the head that the standard asks for.
            has_head = self._rest[0] & 0x0F == 8 and (len(self._rest) < 2 or int.from_bytes(self._rest[:2]) % 31 == 0)
            self._stream = zlib.decompressobj(_ZLIB_WINDOW_BITS if has_head else _RAW_WINDOW_BITS)

    def _inflate(self) -> bytes:
        data, self._rest = self._rest, b""
        out: bytes = self._stream.decompress(data, MAX_SLICE_OUT_BYTES)
        if self._zstd is None:
            self._rest = self._stream.unconsumed_tail
        return out


def inflate_in_steps(
    data: bytes, encoding: str, max_bytes: int, require: Callable[[int], None]
) -> Generator[None, None, bytes]:
    """A whole body inflated, in steps of a few milliseconds. Raises `BodyTooLarge` and `InvalidRequest`.

    `require` is called with the bytes that it holds before it holds more; what it raises ends the work.
    """
    decompressor = Decompressor(encoding)
    parts: list[bytes] = []
    size = 0
    for begin in range(0, len(data), MAX_SLICE_IN_BYTES):
        decompressor.feed(data[begin : begin + MAX_SLICE_IN_BYTES])
        while part := decompressor.step():
            size += len(part)
            if size > max_bytes:
                raise BodyTooLarge(
                    f"The request body is larger than {max_bytes} bytes when inflated, the most this endpoint takes."
                )
            require(len(data) + size)
            parts.append(part)
            yield
    decompressor.finish()
    return b"".join(parts)


def encoding_of(headers: Iterable[Header]) -> str:
    """How a body is compressed: "gzip", "deflate" or "zstd", or "" where it is not.

    Raises `InvalidRequest` for anything else, and for more than one encoding.
    """
    found = ""
    for name, value in headers:
        if name != b"content-encoding":
            continue
        encoding = value.strip().lower()
        if encoding == b"identity":
            continue
        if found or encoding not in (b"gzip", b"x-gzip", b"deflate", b"zstd"):
            raise unsupported()
        found = encoding.decode().removeprefix("x-")
    return found


def unsupported(what: str = "This Content-Encoding is not taken.") -> InvalidRequest:
    """The refusal of a body's encoding, with those that are taken."""
    return InvalidRequest(
        f"{what} A JSON body may be sent as it is, or with one of gzip, deflate and zstd; a form only as it is.",
        status=415,
        code="unsupported_content_encoding",
        headers={"accept-encoding": "gzip, deflate, zstd"},
    )


def _zstd() -> Any:
    """The library for zstd: Python's own from 3.14 on, else its backport, an extra (`prometheus-gateway[zstd]`)."""
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError as error:
            raise InvalidRequest(
                "This gateway is not set up to take zstd. Send the body as it is, or with gzip or deflate.",
                status=415,
                code="unsupported_content_encoding",
                headers={"accept-encoding": "gzip, deflate"},
            ) from error
    return zstd


def _broken(encoding: str) -> InvalidRequest:
    return InvalidRequest(f"The request body cannot be inflated: it is no {encoding} stream.")
