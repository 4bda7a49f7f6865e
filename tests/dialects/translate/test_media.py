"""Media in requests: data URLs are cut, and not decoded; nothing else than the web is taken."""

import pytest

from proxy.dialects.base import TargetTerms
from proxy.dialects.translate.mapper import RequestMapper
from proxy.dialects.translate.media import data_url, media_of
from proxy.dialects.translate.schemas import MediaPart
from proxy.errors import InvalidRequest
from proxy.wire.request_body import parse_body

MAPPER = RequestMapper(parse_body(b'{"model":"core"}'), TargetTerms(alias="core", model="m"))


@pytest.mark.parametrize(
    ("url", "part"),
    [
        (b'"data:image/png;base64,iVBO/+=="', MediaPart("image", "image/png", b"iVBO/+==")),
        (b'"data:image\\/png;base64,iV\\/O"', MediaPart("image", "image/png", b"iV/O")),
        (b'"data:Image/PNG;name=x;base64,iVBO"', MediaPart("image", "image/png", b"iVBO")),
        (b'"https://a.example/x"', MediaPart("image", url=b'"https://a.example/x"')),
    ],
)
def test_a_url_is_data_or_an_address(url: bytes, part: MediaPart) -> None:
    assert media_of(MAPPER, "image", url, "p") == part


@pytest.mark.parametrize(
    "url",
    [
        b'"data:image/png,raw"',
        b'"data:image/png;base64,"',
        b'"data:a\\"b;base64,AAAA"',
        b'"data:image/png;base64,A\\u0041"',
        b'"file:///etc/passwd"',
        b'"gs://bucket/x"',
        b'"x"',
    ],
)
def test_anything_else_is_refused_by_its_path(url: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        media_of(MAPPER, "image", url, "messages[0].content[1]")
    assert caught.value.param == "messages[0].content[1]"


def test_a_part_is_a_data_url_again() -> None:
    assert data_url(MediaPart("image", "image/png", b"iVBO")) == b'"data:image/png;base64,iVBO"'
