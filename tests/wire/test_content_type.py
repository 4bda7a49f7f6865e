"""The content types that each kind of endpoint takes."""

import pytest

from proxy.errors import InvalidRequest
from proxy.wire.content_type import BodyKind, check_content_type

FORM = b"multipart/form-data; boundary=cut"
JSON = b"Application/JSON; charset=utf-8"


def check(kind: BodyKind, *types: bytes, encoding: bytes = b"") -> bytes | None:
    headers = [(b"content-type", value) for value in types]
    return check_content_type([*headers, (b"content-encoding", encoding)] if encoding else headers, kind)


@pytest.mark.parametrize("kind", ["form", "form or json", "file"])
def test_a_form_has_its_boundary(kind: BodyKind) -> None:
    assert check(kind, FORM) == b"cut"


@pytest.mark.parametrize("kind", ["json", "form or json"])
def test_json_may_go_unsaid(kind: BodyKind) -> None:
    assert check(kind, JSON) is None
    assert check(kind) is None


@pytest.mark.parametrize(
    ("kind", "given"),
    [("json", FORM), ("json", b"text/plain"), ("form", JSON), ("file", JSON), ("form or json", b"text/plain")],
)
def test_another_type_is_refused_with_the_one_to_send(kind: BodyKind, given: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"must be (multipart/form-data|application/json)") as caught:
        check(kind, given)
    assert (caught.value.status, caught.value.code) == (400, "unsupported_content_type")


@pytest.mark.parametrize("kind", ["form", "file"])
def test_a_form_must_say_so(kind: BodyKind) -> None:
    with pytest.raises(InvalidRequest):
        check(kind)


@pytest.mark.parametrize("kind", ["none", "json", "form", "form or json", "file"])
def test_two_types_are_refused(kind: BodyKind) -> None:
    with pytest.raises(InvalidRequest, match="two content types"):
        check(kind, JSON, JSON)


@pytest.mark.parametrize("kind", ["none", "form", "form or json", "file"])
def test_a_compressed_form_is_refused(kind: BodyKind) -> None:
    with pytest.raises(InvalidRequest, match="compressed form") as caught:
        check(kind, FORM, encoding=b"gzip")
    assert caught.value.status == 415


def test_compressed_json_is_taken() -> None:
    assert check("json", JSON, encoding=b"gzip") is None
    assert check("none", b"text/plain", encoding=b"gzip") is None
