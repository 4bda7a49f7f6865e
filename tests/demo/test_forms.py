"""Forms as SDKs, browsers and curl send them."""

import pytest

from proxy.demo.forms import DemoForm, is_form, parse_form
from proxy.errors import InvalidRequest

TYPE = "multipart/form-data; boundary=b0"


def part(head: str, data: bytes) -> bytes:
    return b"--b0\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"


def parsed(*parts: bytes, content_type: str = TYPE) -> DemoForm:
    return parse_form(content_type, b"".join(parts) + b"--b0--\r\n")


FIELD = part('Content-Disposition: form-data; name="model"', b"demo-echo")
FILE = part(
    'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav', b"\x00\r\n\xff\r\n"
)


@pytest.mark.parametrize("parts", [(FIELD, FILE), (FILE, FIELD)])
def test_fields_and_files_are_read_in_any_order(parts: tuple[bytes, ...]) -> None:
    form = parsed(*parts)
    assert form.last_values["model"] == "demo-echo"
    assert form.file("file").data == b"\x00\r\n\xff\r\n"
    assert form.file("file").filename == "a.wav"


def test_names_without_quotes_and_a_quoted_boundary_are_read() -> None:
    body = part("content-disposition: form-data; name=model", b"x") + b"--b0--"
    assert parse_form('multipart/form-data; boundary="b0"', body).last_values["model"] == "x"


def test_of_a_field_given_twice_all_values_are_there() -> None:
    assert parsed(FIELD, FIELD).fields == {"model": ["demo-echo", "demo-echo"]}


def test_a_list_of_files_is_found_by_its_plain_name() -> None:
    form = parsed(part('Content-Disposition: form-data; name="image[]"; filename="a.png"', b"x"))
    assert form.file("image").filename == "a.png"


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InvalidRequest, match="no file 'file'"):
        parsed(FIELD).file("file")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (TYPE, b""),
        (TYPE, FIELD),
        (TYPE, FIELD + b"--b0"),
        (TYPE, b"--b0\r\n\r\nx\r\n--b0--"),
        (TYPE, b"--b0\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b0--"),
        (TYPE, FIELD * 201 + b"--b0--"),
        ("multipart/form-data", FIELD + b"--b0--"),
        ("application/json; boundary=b0", FIELD + b"--b0--"),
    ],
)
def test_what_is_no_whole_form_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_form(content_type, body)


@pytest.mark.parametrize(
    ("content_type", "answer"), [(TYPE, True), ("Multipart/Form-Data", True), ("application/json", False), ("", False)]
)
def test_a_form_is_known_by_its_type(content_type: str, answer: bool) -> None:
    assert is_form(content_type) is answer
