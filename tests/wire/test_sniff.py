"""What an answer is by its first bytes, however they come."""

import pytest

from proxy.wire.sniff import Kind, sniff_kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"data: {}", "events"),
        (b"data:", "events"),
        (b"event: x\n", "events"),
        (b"id:1\n", "events"),
        (b"retry: 1\n", "events"),
        (b": ping\n", "events"),
        (b"\xef\xbb\xbfdata: x", "events"),
        (b"\r\n\r\n data: x", "events"),
        (b'{"a":1}', "json"),
        (b'\n\n {"a":1}', "json"),
        (b"\xef\xbb\xbf[{}", "json"),
        (b"<!doctype html>", "page"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML PUBLIC", "page"),
        (b"<HTML lang=en>", "page"),
        (b'<?xml version="1.0"?>\n<html>', "page"),
        (b"<!-- edge -->\n<!doctype html>", "page"),
        (b"<!-- " + b"x" * 4_000 + b" --><html>", "page"),
        (b"<!-- " + b"x" * 4_090 + b" --><html>", "other"),
        (b"<!-- " + b"x" * 4_083 + b" --><html>", "other"),
        (b"<!-- " + b"x" * 6_000 + b" --><html>", "other"),
        (b" One small step.", "other"),
        (b"data", "other"),
        (b"dates are", "other"),
        (b"<v Anna> Hello", "other"),
        (b"ID3\x04", "other"),
        (b"\xff\xfb\x90", "other"),
        (b"RIFF", "other"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n", "other"),
        (b"", "other"),
        (b"\n \n", "other"),
        (b"\xef\xbb", "other"),
    ],
)
def test_the_kind_is_recognised_by_the_first_bytes_in_any_number_of_pieces(data: bytes, kind: Kind) -> None:
    assert sniff_kind(data, True) == kind
    for size in range(len(data)):
        assert sniff_kind(data[:size], False) in ("open", kind)


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"\xef\xbb", b"\xef\xbb\xbf", b"d", b"even", b"<", b"<!doc", b"<ht", b"<!-- a"]
)
def test_more_is_waited_for_where_it_may_tell(data: bytes) -> None:
    assert sniff_kind(data, False) == "open"
