"""Compressed bodies: inflated in slices, up to a cap, in whatever pieces they come."""

import gzip
import random
import time
import tracemalloc
import zlib
from typing import Any

import pytest

from proxy.errors import BodyTooLarge, InvalidRequest, Overloaded
from proxy.wire.content_encoding import (
    MAX_SLICE_IN_BYTES,
    MAX_SLICE_OUT_BYTES,
    MAX_STREAMS,
    Decompressor,
    encoding_of,
    inflate_in_steps,
)
from proxy.wire.request_body import run_steps

BODY = b'{"model":"m","messages":[' + b'{"role":"user","content":"hi"},' * 50_000 + b"{}]}"
RANDOM = random.Random(1).randbytes(300_000)


def zstd() -> Any:
    try:
        from compression import zstd
    except ImportError:
        return pytest.importorskip("backports.zstd", reason="zstd is not installed")
    return zstd


def packed(encoding: str, data: bytes) -> bytes:
    if encoding == "gzip":
        return gzip.compress(data)
    if encoding == "raw":
        deflater = zlib.compressobj(wbits=-15)
        return deflater.compress(data) + deflater.flush()
    if encoding == "deflate":
        return zlib.compress(data)
    result: bytes = zstd().compress(data)
    return result


def refuse_nothing(size: int) -> None:
    """Room for everything."""


def inflated(encoding: str, data: bytes, limit: int = 10**9) -> bytes:
    return run_steps(inflate_in_steps(data, "deflate" if encoding == "raw" else encoding, limit, refuse_nothing))


every_encoding = pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw", "zstd"])


@every_encoding
@pytest.mark.parametrize(
    "data", [BODY, RANDOM, b"{}", b"", b"a" * 3_000_000], ids=["json", "random", "two", "0", "run"]
)
def test_a_body_is_inflated_to_what_it_was(encoding: str, data: bytes) -> None:
    assert inflated(encoding, packed(encoding, data), len(data)) == data


@every_encoding
@pytest.mark.parametrize("size", [1, 2, 3, 1_000, MAX_SLICE_IN_BYTES])
def test_the_cuts_of_the_network_change_nothing(encoding: str, size: int) -> None:
    data = BODY[:40_000]
    body = packed(encoding, data)
    decompressor = Decompressor("deflate" if encoding == "raw" else encoding)
    out = b""
    for begin in range(0, len(body), size):
        decompressor.feed(body[begin : begin + size])
        while part := decompressor.step():
            assert len(part) <= MAX_SLICE_OUT_BYTES
            out += part
    decompressor.finish()
    assert out == data


@every_encoding
def test_the_cap_holds_for_what_comes_out(encoding: str) -> None:
    body = packed(encoding, BODY)
    assert inflated(encoding, body, len(BODY)) == BODY
    with pytest.raises(BodyTooLarge, match="when inflated") as error:
        inflated(encoding, body, len(BODY) - 1)
    assert error.value.status == 413


@every_encoding
def test_a_bomb_is_stopped_at_the_cap_in_little_memory_and_little_time_at_once(encoding: str) -> None:
    bomb = packed(encoding, bytes(400_000_000))
    limit = 8_000_000
    longest = 0.0
    steps = inflate_in_steps(bomb, "deflate" if encoding == "raw" else encoding, limit, refuse_nothing)
    tracemalloc.start()
    try:
        while True:
            before = time.thread_time()
            try:
                next(steps)
            except BodyTooLarge:
                break
            finally:
                longest = max(longest, time.thread_time() - before)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * limit
    assert longest < 0.1


@every_encoding
def test_room_is_asked_for_before_more_is_inflated(encoding: str) -> None:
    asked: list[int] = []

    def require(size: int) -> None:
        asked.append(size)
        if size > 1_000_000:
            raise Overloaded("no room")

    data = packed(encoding, bytes(30_000_000))
    with pytest.raises(Overloaded):
        run_steps(inflate_in_steps(data, "deflate" if encoding == "raw" else encoding, 10**9, require))
    assert asked == sorted(asked)
    assert 1_000_000 < asked[-1] <= 1_000_000 + MAX_SLICE_OUT_BYTES


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_streams_one_behind_the_other_are_one_body(encoding: str) -> None:
    assert inflated(encoding, packed(encoding, b'{"a":') + packed(encoding, b"1}")) == b'{"a":1}'
    with pytest.raises(InvalidRequest, match="more than"):
        inflated(encoding, packed(encoding, b"") * (MAX_STREAMS + 1))


@every_encoding
def test_a_body_that_is_cut_or_broken_is_refused(encoding: str) -> None:
    body = packed(encoding, BODY)
    for broken in (body[:-1], body[: len(body) // 2], body[:1], b"", body + b"x\x00garbage", b"{}" + body):
        with pytest.raises(InvalidRequest) as error:
            inflated(encoding, broken)
        assert (error.value.status, "inflated" in error.value.message or "ends before" in error.value.message) == (
            400,
            True,
        )


@pytest.mark.parametrize(
    ("headers", "encoding"),
    [
        ([], ""),
        ([(b"content-encoding", b"identity")], ""),
        ([(b"content-encoding", b" GZIP ")], "gzip"),
        ([(b"content-encoding", b"x-gzip")], "gzip"),
        ([(b"content-encoding", b"deflate")], "deflate"),
        ([(b"content-encoding", b"zstd"), (b"content-encoding", b"identity")], "zstd"),
    ],
)
def test_the_head_says_how_a_body_is_compressed(headers: list[tuple[bytes, bytes]], encoding: str) -> None:
    assert encoding_of(headers) == encoding


@pytest.mark.parametrize(
    "value", [b"br", b"gzip, gzip", b"gzip, identity", b"", b"compress", b"gzip;q=1", b"zstd,gzip"]
)
def test_any_other_encoding_is_refused_with_those_that_are_taken(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="gzip, deflate and zstd") as error:
        encoding_of([(b"content-encoding", value)])
    assert (error.value.status, error.value.code) == (415, "unsupported_content_encoding")
    assert error.value.headers == {"accept-encoding": "gzip, deflate, zstd"}


def test_two_encodings_are_refused() -> None:
    with pytest.raises(InvalidRequest) as error:
        encoding_of([(b"content-encoding", b"gzip"), (b"content-encoding", b"gzip")])
    assert error.value.status == 415


def test_a_window_beyond_eight_mebibytes_is_refused() -> None:
    library = zstd()
    options = {library.CompressionParameter.window_log: 27, library.CompressionParameter.checksum_flag: 1}
    deflater = library.ZstdCompressor(options=options)
    body = deflater.compress(RANDOM * 2) + deflater.flush()
    with pytest.raises(InvalidRequest, match="zstd"):
        inflated("zstd", body)
