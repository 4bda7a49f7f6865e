"""Requests that two servers could understand differently, or that only cost: each must be refused, whole or in pieces.

Values only. But for its one flaw each is a good request with a good key, so that one let through would be served.
"""

from dataclasses import dataclass

from tests.serving import ALIAS, KEY

BODY = b'{"model":"%b","messages":[{"role":"user","content":"hi"}]}' % ALIAS.encode()
LENGTH = b"content-length: %d" % len(BODY)
CHUNKED = b"transfer-encoding: chunked"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
HOST = b"host: gateway.test"
KEY_LINE = b"authorization: Bearer " + KEY.encode()
POST = b"POST /v1/chat/completions HTTP/1.1"
UPGRADE = (b"connection: upgrade", b"upgrade: h2c")
EMPTY = b""


def request(*lines: bytes, body: bytes = BODY, start: bytes = POST, host: bytes = HOST, end: bytes = b"\r\n") -> bytes:
    """A request with these header lines; no `host` is an empty one."""
    head = [start, *([host] if host else []), KEY_LINE, b"content-type: application/json", *lines]
    return end.join([*head, b"", b""]) + body


def chunked(body: bytes) -> bytes:
    return request(CHUNKED, body=body)


def trailed(trailer: bytes) -> bytes:
    """A good chunked request but for this trailer."""
    return chunked(CHUNKS[:-2] + trailer + b"\r\n\r\n")


GOOD = request(LENGTH)
GOOD_CHUNKED = request(CHUNKED, body=CHUNKS)
#: Lines whose names have an underscore: each is dropped, and the request is as good as without it.
UNDERSCORED = (
    b"session_id: 1",
    b"x_api_key: another",
    b"X_Api-Key: another",
    b"content_length: 5",
    b"content_length: 0",
    b"transfer_encoding: chunked",
    b"host_: b",
    b"_: a",
    b"expect_: a-miracle",
    b"upgrade_: h2c",
    b"content_type: text/plain",
)


@dataclass(frozen=True)
class Hostile:
    """A request and the statuses it may be answered with."""

    name: str
    data: bytes
    status: tuple[int, ...] = (400,)


_SIZE = b"%x" % len(BODY)

SMALL: tuple[Hostile, ...] = (
    # Two framings.
    Hostile("length-then-chunked", request(LENGTH, CHUNKED, body=CHUNKS)),
    Hostile("chunked-then-length", request(CHUNKED, LENGTH, body=CHUNKS)),
    Hostile("two-lengths", request(LENGTH, b"content-length: 5")),
    Hostile("two-equal-lengths", request(LENGTH, LENGTH)),
    Hostile("length-list", request(LENGTH + b", %d" % len(BODY))),
    # Lengths that are none.
    Hostile("length-plus", request(b"content-length: +%d" % len(BODY))),
    Hostile("length-hex", request(b"content-length: 0x%x" % len(BODY))),
    Hostile("length-underscore", request(b"content-length: 1_0")),
    Hostile("length-negative", request(b"content-length: -1")),
    Hostile("length-empty", request(b"content-length:")),
    Hostile("length-two-words", request(LENGTH + b" 1")),
    Hostile("length-overflow", request(b"content-length: 18446744073709551618")),
    Hostile("length-not-ascii", request(b"content-length: \xb2")),
    Hostile("length-folded", request(b"content-length:\r\n %d" % len(BODY))),
    Hostile("length-behind-a-space", request(b"content-length : %d" % len(BODY))),
    Hostile("length-behind-a-tab", request(b"content-length\t: %d" % len(BODY))),
    Hostile("length-with-vertical-tab", request(LENGTH + b"\x0b")),
    Hostile("length-with-nul", request(LENGTH + b"\x00")),
    Hostile("length-with-semicolon", request(LENGTH + b";")),
    Hostile("length-with-point", request(LENGTH + b".0")),
    Hostile("length-with-exponent", request(b"content-length: 5e1")),
    # Transfer codings.
    Hostile("coding-unknown", request(b"transfer-encoding: xchunked", body=CHUNKS), (400, 501)),
    Hostile("coding-gzip", request(b"transfer-encoding: gzip, chunked", body=CHUNKS), (400, 501)),
    Hostile("coding-chunked-not-last", request(b"transfer-encoding: chunked, gzip", body=CHUNKS), (400, 501)),
    Hostile("coding-chunked-twice", request(b"transfer-encoding: chunked, chunked", body=CHUNKS), (400, 501)),
    Hostile("coding-in-two-lines", request(CHUNKED, CHUNKED, body=CHUNKS), (400, 501)),
    Hostile("coding-split-in-lines", request(b"transfer-encoding: gzip", CHUNKED, body=CHUNKS), (400, 501)),
    Hostile("coding-identity", request(b"transfer-encoding: identity", LENGTH), (400, 501)),
    Hostile("coding-empty", request(b"transfer-encoding:", LENGTH), (400, 501)),
    Hostile("coding-parameter", request(b"transfer-encoding: chunked;q=1", body=CHUNKS), (400, 501)),
    Hostile("coding-quoted", request(b'transfer-encoding: "chunked"', body=CHUNKS), (400, 501)),
    Hostile("coding-vertical-tab", request(b"transfer-encoding: \x0bchunked", body=CHUNKS), (400, 501)),
    Hostile("coding-nul", request(b"transfer-encoding: chunked\x00", body=CHUNKS), (400, 501)),
    Hostile("coding-form-feed", request(b"transfer-encoding: \x0cchunked", body=CHUNKS), (400, 501)),
    Hostile("coding-no-break-space", request(b"transfer-encoding: \xa0chunked", body=CHUNKS), (400, 501)),
    Hostile("coding-carriage-return", request(b"transfer-encoding: chunked\r", body=CHUNKS), (400, 501)),
    Hostile("coding-then-space", request(b"transfer-encoding: chunked ", body=CHUNKS), (400, 501)),
    Hostile("coding-then-comma", request(b"transfer-encoding: chunked,", body=CHUNKS), (400, 501)),
    Hostile("coding-behind-comma", request(b"transfer-encoding: ,chunked", body=CHUNKS), (400, 501)),
    Hostile("coding-behind-identity", request(b"transfer-encoding: identity, chunked", body=CHUNKS), (400, 501)),
    Hostile("coding-behind-a-space-in-its-line", request(b" transfer-encoding: chunked", LENGTH)),
    Hostile(
        "coding-in-http-1.0",
        request(CHUNKED, body=CHUNKS, start=b"POST /v1/chat/completions HTTP/1.0"),
        (400, 501),
    ),
    # Header lines.
    Hostile("folded-line", request(b"x-a: b\r\n c", LENGTH)),
    Hostile("folded-coding", request(b"transfer-encoding:\r\n chunked", body=CHUNKS), (400, 501)),
    Hostile("space-before-colon", request(b"x-a : b", LENGTH)),
    Hostile("space-before-colon-of-coding", request(b"transfer-encoding : chunked", body=CHUNKS)),
    Hostile("space-before-first-header", request(LENGTH, host=b" host: gateway.test")),
    Hostile("no-colon", request(b"x-a", LENGTH)),
    Hostile("no-name", request(b": b", LENGTH)),
    Hostile("name-with-a-control", request(b"x\x01a: b", LENGTH)),
    Hostile("name-not-ascii", request(b"x-\xe4: b", LENGTH)),
    Hostile("name-with-vertical-tab", request(b"x\x0ba: b", LENGTH)),
    Hostile("value-with-nul", request(b"x-a: b\x00c", LENGTH)),
    Hostile("value-with-bare-cr", request(b"x-a: b\rc: d", LENGTH)),
    Hostile("value-with-bare-lf", request(b"x-a: b\nc: d", LENGTH)),
    Hostile("value-with-a-control", request(b"x-a: b\x01c", LENGTH)),
    Hostile("value-with-delete", request(b"x-a: b\x7fc", LENGTH)),
    Hostile("bare-lf-lines", request(LENGTH, end=b"\n")),
    Hostile("bare-cr-lines", request(LENGTH, end=b"\r")),
    Hostile("head-ended-by-bare-lf", GOOD.replace(b"\r\n\r\n", b"\r\n\n", 1)),
    Hostile("head-ended-by-two-crs", GOOD.replace(b"\r\n\r\n", b"\r\n\r\r\n", 1)),
    # Expectations.
    Hostile("unknown-expectation", request(b"expect: a-miracle", LENGTH), (417,)),
    Hostile("expectation-list", request(b"expect: 100-continue, a-miracle", LENGTH), (417,)),
    Hostile("expectation-behind-a-word", request(b"expect: y 100-continue", LENGTH), (417,)),
    Hostile("expectation-empty", request(b"expect:", LENGTH), (417,)),
    Hostile("expectation-folded", request(b"expect:\r\n 100-continue", LENGTH)),
    # A wish for another protocol hides no flaw.
    Hostile("upgrade-with-two-hosts", request(*UPGRADE, HOST, LENGTH)),
    Hostile("upgrade-with-two-framings", request(*UPGRADE, CHUNKED, LENGTH, body=CHUNKS)),
    Hostile("upgrade-with-a-coding", request(*UPGRADE, b"transfer-encoding: gzip, chunked", body=CHUNKS), (400, 501)),
    Hostile("upgrade-to-http-0.9", request(*UPGRADE, start=b"POST /v1/chat/completions HTTP/0.9")),
    # Chunks.
    Hostile("chunk-size-overflow", chunked(b"10000000000000001\r\n" + BODY)),
    Hostile("chunk-size-0x", chunked(b"0x" + CHUNKS)),
    Hostile("chunk-size-plus", chunked(b"+" + CHUNKS)),
    Hostile("chunk-size-negative", chunked(b"-" + CHUNKS)),
    Hostile("chunk-size-after-space", chunked(b" " + CHUNKS)),
    Hostile("chunk-size-underscore", chunked(b"0_" + CHUNKS)),
    Hostile("chunk-size-missing", chunked(b"\r\n" + CHUNKS)),
    Hostile("chunk-size-no-hex", chunked(b"xyz\r\n" + CHUNKS)),
    Hostile("chunk-size-ended-by-lf", chunked(_SIZE + b"\n" + BODY + b"\r\n0\r\n\r\n")),
    Hostile("chunk-size-ended-by-cr", chunked(_SIZE + b"\r" + BODY + b"\r\n0\r\n\r\n")),
    Hostile("chunk-extension-with-cr", chunked(_SIZE + b";a\rb\r\n" + BODY + b"\r\n0\r\n\r\n")),
    Hostile("chunk-extension-with-lf", chunked(_SIZE + b";a\n" + BODY + b"\r\n0\r\n\r\n")),
    Hostile("chunk-extension-with-nul", chunked(_SIZE + b";a\x00b\r\n" + BODY + b"\r\n0\r\n\r\n")),
    Hostile("chunk-extension-with-a-quoted-line-end", chunked(_SIZE + b';a="\r\n"\r\n' + BODY + b"\r\n0\r\n\r\n")),
    Hostile("chunk-extension-behind-a-space", chunked(_SIZE + b" ;a\r\n" + BODY + b"\r\n0\r\n\r\n")),
    Hostile("chunk-size-before-space", chunked(_SIZE + b" \r\n" + BODY + b"\r\n0\r\n\r\n")),
    Hostile("chunk-size-before-tab", chunked(_SIZE + b"\t\r\n" + BODY + b"\r\n0\r\n\r\n")),
    Hostile("chunk-without-its-end", chunked(_SIZE + b"\r\n" + BODY + b"0\r\n\r\n")),
    Hostile("chunk-longer-than-it-says", chunked(b"5\r\n" + BODY + b"\r\n0\r\n\r\n")),
    Hostile("chunk-ended-by-lf", chunked(_SIZE + b"\r\n" + BODY + b"\n0\r\n\r\n")),
    Hostile("last-chunk-ended-by-lf", chunked(CHUNKS[:-4] + b"\n\r\n")),
    Hostile("chunks-ended-by-lf", chunked(CHUNKS[:-2] + b"\n")),
    # Trailers.
    Hostile("trailer-with-a-length", trailed(b"content-length: 5")),
    Hostile("trailer-with-a-coding", trailed(b"transfer-encoding: chunked")),
    Hostile("trailer-that-is-a-request", trailed(b"GET /v1/models HTTP/1.1")),
    Hostile("trailer-folded", trailed(b"x-a: b\r\n c")),
    Hostile("trailer-with-bare-lf", trailed(b"x-a: b\nc: d")),
    Hostile("trailer-with-nul", trailed(b"x-a: b\x00c")),
    # Whose request is it?
    Hostile("no-host", request(LENGTH, host=EMPTY)),
    Hostile("two-hosts", request(b"host: other.test", LENGTH)),
    Hostile("two-equal-hosts", request(HOST, LENGTH)),
    Hostile("host-with-a-path", request(LENGTH, host=b"host: gateway.test/v1?x=")),
    Hostile("host-with-a-space", request(LENGTH, host=b"host: gateway test")),
    Hostile("host-with-a-user", request(LENGTH, host=b"host: user@gateway.test")),
    Hostile("host-list", request(LENGTH, host=b"host: a.test, b.test")),
    Hostile("host-with-a-long-port", request(LENGTH, host=b"host: gateway.test:123456")),
    Hostile("host-with-vertical-tab", request(LENGTH, host=b"host: gateway.test\x0b")),
    # The request line.
    Hostile("http-0.9", b"GET /v1/models\r\n\r\n"),
    Hostile("http-0.9-in-words", request(LENGTH, start=b"POST /v1/chat/completions HTTP/0.9")),
    Hostile("http-1.2", request(LENGTH, start=b"POST /v1/chat/completions HTTP/1.2")),
    Hostile("http-2.0", request(LENGTH, start=b"POST /v1/chat/completions HTTP/2.0")),
    Hostile("http-1.10", request(LENGTH, start=b"POST /v1/chat/completions HTTP/1.10")),
    Hostile("http-1", request(LENGTH, start=b"POST /v1/chat/completions HTTP/1")),
    Hostile("http-01.1", request(LENGTH, start=b"POST /v1/chat/completions HTTP/01.1")),
    Hostile("http-of-no-version", request(LENGTH, start=b"POST /v1/chat/completions")),
    Hostile("space-behind-the-version", request(LENGTH, start=POST + b" ")),
    Hostile("space-before-the-method", b" " + GOOD),
    Hostile("http-in-small-letters", request(LENGTH, start=b"POST /v1/chat/completions http/1.1")),
    Hostile("http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Hostile("tls-greeting", b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + b"a" * 50),
    Hostile("method-unknown", request(LENGTH, start=b"P@ST /v1/chat/completions HTTP/1.1")),
    Hostile("method-in-small-letters", request(LENGTH, start=b"post /v1/chat/completions HTTP/1.1")),
    Hostile("method-of-two-words", request(LENGTH, start=b"PO ST /v1/chat/completions HTTP/1.1")),
    Hostile("method-connect", request(start=b"CONNECT gateway.test:443 HTTP/1.1", body=EMPTY)),
    Hostile("two-spaces", request(LENGTH, start=b"POST /v1/chat/completions x HTTP/1.1")),
    Hostile("tab-for-a-space", request(LENGTH, start=b"POST\t/v1/chat/completions HTTP/1.1")),
    Hostile("carriage-return-for-a-space", request(LENGTH, start=b"POST /v1/chat/completions\rHTTP/1.1")),
    Hostile("target-authority", request(LENGTH, start=b"POST gateway.test:443 HTTP/1.1")),
    Hostile("target-absolute", request(LENGTH, start=b"POST http://gateway.test/v1/chat/completions HTTP/1.1")),
    Hostile("target-asterisk", request(start=b"OPTIONS * HTTP/1.1", body=EMPTY)),
    Hostile("target-asterisk-to-post-to", request(LENGTH, start=b"POST * HTTP/1.1")),
    Hostile("target-with-nul", request(LENGTH, start=b"POST /v1/chat/\x00 HTTP/1.1")),
    Hostile("target-with-vertical-tab", request(LENGTH, start=b"POST /v1/chat\x0b/completions HTTP/1.1")),
    Hostile("target-with-fragment", request(LENGTH, start=b"POST /v1/chat/completions#a HTTP/1.1")),
    Hostile("target-not-ascii", request(LENGTH, start=b"POST /v1/chat/\xff HTTP/1.1")),
    Hostile("target-with-a-control", request(LENGTH, start=b"POST /v1/chat/\x01 HTTP/1.1")),
    Hostile("target-relative", request(LENGTH, start=b"POST v1/chat/completions HTTP/1.1")),
)

LARGE: tuple[Hostile, ...] = (
    Hostile("header-of-128-kib", request(b"x-a: " + b"a" * 131_072, LENGTH), (431,)),
    Hostile("head-of-128-kib", request(*[b"x-%d: " % number + b"a" * 1_400 for number in range(96)], LENGTH), (431,)),
    Hostile("129-headers", request(*[b"x-%d: 1" % number for number in range(129)], LENGTH), (431,)),
    Hostile("5000-headers", request(*[b"x-%d: 1" % number for number in range(5_000)], LENGTH), (431,)),
    Hostile("target-of-128-kib", request(LENGTH, start=b"POST /" + b"a" * 131_072 + b" HTTP/1.1"), (414, 431)),
    Hostile("chunk-extension-of-1-mib", chunked(_SIZE + b";" + b"a" * 2**20 + CHUNKS[len(_SIZE) :])),
    Hostile("trailer-of-1-mib", chunked(CHUNKS[:-2] + b"x-a: " + b"a" * 2**20 + b"\r\n\r\n")),
    Hostile("trailers-of-1-mib", chunked(CHUNKS[:-2] + b"x-a: b\r\n" * 131_072 + b"\r\n")),
    Hostile("extensions-of-1-mib-around-single-bytes", chunked((b"1;" + b"a" * 32_768 + b"\r\n \r\n") * 32 + CHUNKS)),
    Hostile("empty-lines-of-1-mib", b"\r\n" * 2**19 + GOOD),
    Hostile("length-of-64-bits", request(b"content-length: 18446744073709551615"), (413,)),
)

#: Heads that are answered before their body has been read; what follows each is `GOOD`, and is its body.
UNREAD_BODIES = {
    name: data.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\ncontent-length: %d\r\n" % (len(GOOD) + more), 1)
    for more, kind in ((0, ""), (1000, " and never whole"))
    for name, data in {
        f"without a key{kind}": request(body=EMPTY).replace(KEY_LINE, b"x-a: b"),
        f"without a key and waiting to be asked{kind}": request(b"expect: 100-continue", body=EMPTY).replace(
            KEY_LINE, b"x-a: b"
        ),
        f"of another type{kind}": request(body=EMPTY).replace(b"application/json", b"text/plain"),
        f"for no path{kind}": request(body=EMPTY, start=b"POST /nowhere HTTP/1.1"),
        f"of another method{kind}": request(body=EMPTY, start=b"GET /v1/chat/completions HTTP/1.1"),
        f"to the health page{kind}": request(body=EMPTY, start=b"GET /livez HTTP/1.1"),
    }.items()
}
