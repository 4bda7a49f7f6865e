"""Forms as SDKs, browsers and curl send them."""

import pytest

from proxy.demo.forms import Form, is_form, parse_form
from proxy.errors import InvalidRequest

TYPE = "multipart/form-data; boundary=b0"


def part(head: str, data: bytes) -> bytes:
    return b"--b0\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"


def parsed(*parts: bytes, content_type: str = TYPE) -> Form:
    return parse_form(content_type, b"".join(parts) + b"--b0--\r\n")


FIELD = part('Content-Disposition: form-data; name="model"', b"demo-echo")
FILE = part(
    'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav', b"\x00\r\n\xff\r\n"
)


@pytest.mark.parametrize("parts", [(FIELD, FILE), (FILE, FIELD)])
def test_fields_and_files_are_read_in_any_order(parts: tuple[bytes, ...]) -> None:
    form = parsed(*parts)
    assert form.get("model") == "demo-echo"
    assert form.upload("file").data == b"\x00\r\n\xff\r\n"
    assert (form.upload("file").filename, form.upload("file").content_type) == ("a.wav", "audio/wav")


def test_names_without_quotes_and_a_quoted_boundary_are_read() -> None:
    body = part("content-disposition: form-data; name=model", b"x") + b"--b0--"
    assert parse_form('multipart/form-data; boundary="b0"', body).get("model") == "x"


def test_of_a_field_given_twice_all_values_are_there() -> None:
    assert parsed(FIELD, FIELD).fields == {"model": ["demo-echo", "demo-echo"]}


def test_a_list_of_files_is_found_by_its_plain_name() -> None:
    form = parsed(part('Content-Disposition: form-data; name="image[]"; filename="a.png"', b"x"))
    assert form.upload("image").filename == "a.png"


@pytest.mark.parametrize(
    ("value", "flag"), [(b"true", True), (b"True", True), (b"1", True), (b"false", False), (b"", False)]
)
def test_a_flag_is_true_by_its_word(value: bytes, flag: bool) -> None:
    assert parsed(part('Content-Disposition: form-data; name="stream"', value)).flag("stream") is flag


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InvalidRequest, match="no file 'file'"):
        parsed(FIELD).upload("file")


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
