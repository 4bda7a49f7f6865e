"""What of a body counts as text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.text import text_bytes


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", 5),
        (b"", 0),
        (b'{"url":"data:image/png;base64,' + b"A" * 1000 + b'"}', len(b'{"url":"data:image/png"}')),
        (b'["a;base64,AA==","b;base64,BBBB"]', len(b'["a","b"]')),
        # A promise of base64 makes no text disappear.
        (b'["a;base64,"]', len(b'["a;base64,"]')),
        (b'["a;base64,AAAA and more"]', len(b'["a and more"]')),
        (b"a;base64,;base64,AAAA", len(b"a;base64,")),
        (b";base64,AAAA", 0),
        (b'x";base64,AAAA', 2),
    ],
)
def test_base64_of_data_urls_is_no_text(data: bytes, text: int) -> None:
    assert text_bytes(data) == text


@given(st.lists(st.sampled_from([b";base64,", b"AB+/9=", b'"', b"\\", b" ", b";", b",", b"base64"])).map(b"".join))
def test_it_is_what_a_pattern_finds(data: bytes) -> None:
    assert text_bytes(data) == len(re.sub(rb";base64,[A-Za-z0-9+/=]+", b"", data))
