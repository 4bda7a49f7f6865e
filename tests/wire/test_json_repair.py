"""JSON that a strict parser refuses: of the same length, valid where only what is not read was wrong."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.json_repair import repaired

decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@pytest.mark.parametrize(
    "text",
    [
        rb'{"a":"\ud83d","model":"m"}',
        rb'{"a":"\udcaf","model":"m"}',
        rb'{"a":"x\uD83Dx\uDCAF","model":"m"}',
        rb'{"a":"\\\ud83d","model":"m"}',
        rb'{"a":"\ud83d\ud83d\udc00","model":"m"}',
        rb'{"\ud83d":1,"model":"m"}',
        rb'{"a":NaN,"b":[-Infinity, Infinity],"model":"m"}',
        b'\xef\xbb\xbf{"model":"m"}',
        b'\n\xef\xbb\xbf {"model":"m"}',
        b'{"\xff":1,"model":"m"}',
        b'\xef\xbb\xbf{"a":NaN,"b":"\\ud83d","c":"\xff\xc3\xa9","model":"m"}',
    ],
)
def test_a_text_that_is_read_in_its_other_fields_keeps_its_length(text: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode(text)
    better = repaired(text)
    assert len(better) == len(text)
    assert bytes(decode(better)["model"]) == b'"m"'
    assert better.index(b'"m"') == text.index(b'"m"')


@pytest.mark.parametrize(
    "text",
    [
        b'{"i: "resp_776"}',
        b'{"model":"m"',
        b'{"a":nan}',
        b'{"a":01}',
        b'{"a":"x\ny"}',
        b"{oops}",
        b'{"a":Infinity5}',
        b"",
        rb'{"a":"\x41"}',
    ],
)
def test_what_is_no_json_stays_so(text: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode(repaired(text))


@given(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False, allow_infinity=False)), st.booleans())
def test_a_text_that_is_sound_is_the_same_object(value: dict[str, Any], plain: bool) -> None:
    text = json.dumps({"words": "NaN, Infinity", **value}, ensure_ascii=plain).encode("utf-8", "replace")
    if b"NaN" not in text.replace(b"NaN, Infinity", b""):
        assert json.loads(repaired(text)).keys() == json.loads(text).keys()


@given(st.binary(max_size=60))
def test_the_length_is_always_kept(text: bytes) -> None:
    assert len(repaired(text)) == len(text)
