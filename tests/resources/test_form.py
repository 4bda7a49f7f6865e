"""Forms: cut anywhere, kept where needed, written anew, refused where two readers might not agree."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.errors import BodyTooLarge, InvalidRequest
from proxy.resources.form import MAX_BUFFERED_BYTES, Form, NewValue
from proxy.server.bodies import Bodies, Holding
from tests.fakes import split

BODY = (
    b'--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="empty"\r\n\r\n\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: text/plain\r\n\r\n'
    b"\r\n--xy\r\n--not\r\n\r\n--xyz--\r\n"
)


async def pieces_of(data: bytes, size: int) -> AsyncIterator[bytes]:
    for piece in split(data, size):
        yield piece


def passed(data: bytes, size: int, wanted: str, *, limit: int = 10_000_000, name: str = "") -> tuple[str | None, bytes]:
    async def run() -> tuple[str | None, bytes]:
        form = Form(pieces_of(data, size), b"xyz", limit, wanted, Holding(Bodies()))
        try:
            value = await form.read_field()
            change = NewValue("new") if name else None
            return value, b"".join(
                [piece async for piece in form.body(lambda part: change if part.name == name else None)]
            )
        finally:
            form.close()

    return asyncio.run(run())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
@pytest.mark.parametrize("wanted", ["", "purpose"])
def test_a_form_comes_out_as_it_went_in_wherever_it_is_cut(size: int, wanted: str) -> None:
    assert passed(BODY, size, wanted) == ("assistants" if wanted else None, BODY)


@pytest.mark.parametrize("size", [1, 3, 10_000])
@pytest.mark.parametrize("epilogue", [b"the end", b"--xyz\r\nmore", b"\n" * 1_000])
def test_an_epilogue_is_left_out(size: int, epilogue: bytes) -> None:
    value, body = passed(BODY + epilogue, size, "purpose")
    assert value == "assistants"
    assert body.rstrip(b"\r\n") == BODY.rstrip(b"\r\n")


@pytest.mark.parametrize("size", [1, 10_000])
def test_a_field_behind_the_file_is_waited_for(size: int) -> None:
    parts = BODY.removesuffix(b"--xyz--\r\n").split(b"--xyz\r\n")[1:]
    turned = b"".join(b"--xyz\r\n" + part for part in reversed(parts)) + b"--xyz--\r\n"
    assert passed(turned, size, "purpose") == ("assistants", turned)


def test_a_large_file_before_the_field_is_kept_on_the_disk() -> None:
    file = (
        b'--xyz\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        + bytes(3 * MAX_BUFFERED_BYTES)
        + b"\r\n"
    )
    data = file + BODY
    value, body = passed(data, 65_536, "purpose")
    assert value == "assistants"
    assert body == data


def test_one_field_is_changed_and_nothing_else() -> None:
    assert passed(BODY, 5, "", name="purpose")[1] == BODY.replace(b"assistants", b"new")


def test_a_form_without_the_field_says_so() -> None:
    assert passed(BODY, 100, "model") == (None, BODY)


def test_a_form_over_its_limit_is_refused() -> None:
    with pytest.raises(BodyTooLarge):
        passed(BODY, 10, "", limit=100)


@pytest.mark.parametrize(
    "data",
    [
        BODY[:-10],
        b"",
        b"no boundary at all",
        BODY.replace(b"--xyz\r\n", b"--xyz x\r\n", 1),
        b"preamble\r\n" + BODY,
        BODY.replace(b"\r\n--not", b"\n--xyz\n"),
        BODY.replace(b"\r\n--not", b"\r--xyz\r"),
        BODY.replace(b"assistants", b"a\n--xyz\nContent-Disposition: form-data; name=model\n\nb"),
        BODY.replace(b'name="empty"', b'name="file"'),
        BODY.replace(b'name="empty"', b'name="Purpose"'),
        BODY.replace(b'name="empty"', b'name="purpose[]"'),
        BODY.replace(b'name="empty"', b'name="x"; name*0="purpose"'),
        BODY.replace(b'name="empty"', b'name="purp\\ose"'),
        BODY.replace(b"Content-Type: text/plain", b"Content-Transfer-Encoding: quoted-printable"),
        BODY.replace(b"Content-Type: text/plain", b"Content-Encoding: gzip"),
        b"--xyz\r\n\r\nno name\r\n--xyz--\r\n",
        b"--xyz\r\nX: " + b"x" * 20_000,
        b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 300 + b"--xyz--\r\n",
        BODY.replace(b"--xyz--", b'--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--xyz--'),
        BODY.replace(b"assistants", b"x" * 5_000),
    ],
)
def test_a_form_that_cannot_be_read_in_one_way_only_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        passed(data, 1_000, "purpose")
