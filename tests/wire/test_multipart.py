"""Multipart bodies on their way through: what is found, what passes untouched, and what is refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BodyTooLarge, InvalidRequest
from proxy.wire.multipart import (
    MAX_MODEL_CHARACTERS,
    MAX_PART_HEAD_BYTES,
    MAX_PARTS,
    EventKind,
    ModelExtractor,
    MultipartParser,
    boundary_of,
    content_type_line,
    is_multipart,
    read_part_head,
)

B = b"----b0undary=x"
AUDIO = bytes(range(256)) * 3 + b"\r\n--\r\n----b0undar\r\n\r\n--"


def part(head: str, value: bytes) -> bytes:
    return b"--" + B + b"\r\n" + head.encode() + b"\r\n\r\n" + value + b"\r\n"


def field(name: str, value: bytes) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', value)


FILE = part('Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav', AUDIO)
MODEL = field("model", b"prometheus-echo")
END = b"--" + B + b"--\r\n"

GOOD = {
    "file first": FILE + MODEL + END,
    "model first": MODEL + FILE + END,
    "model in the middle": field("language", b"en") + MODEL + FILE + END,
    "unquoted name": FILE + part("Content-Disposition: form-data; name=model", b"prometheus-echo") + END,
    "other header before": part("Content-Type: text/plain\r\nContent-Disposition: form-data; name=model", b"a") + END,
    "header names in any case": part('CONTENT-disposition: Form-Data; NAME="model"', b"a") + END,
    "no line end after the last boundary": MODEL + b"--" + B + b"--",
    "a line end before the first boundary": b"\r\n" + MODEL + END,
    "an empty field": field("prompt", b"") + MODEL + END,
    "escaped backslashes in a file's name": part(
        'Content-Disposition: form-data; name="file"; filename="a\\\\b.mp3"', b"x"
    )
    + MODEL
    + END,
    "quotes in a file's name": part('Content-Disposition: form-data; name="file"; filename="a\\"b.mp3"', b"x")
    + MODEL
    + END,
    "a boundary in the middle of a line": field("prompt", b"say --" + B + b" aloud") + MODEL + END,
    "a name in no ASCII": part('Content-Disposition: form-data; name="file"; filename="ä.mp3"', b"x") + MODEL + END,
}


def scan(body: bytes, cuts: list[int] | None = None, boundary: bytes = B) -> tuple[bytes, ModelExtractor]:
    scanner = ModelExtractor(boundary)
    points = [0, *sorted(cut for cut in cuts or [] if 0 <= cut <= len(body)), len(body)]
    out = b"".join(scanner.feed(body[begin:end]) for begin, end in itertools.pairwise(points))
    scanner.finish()
    return out, scanner


def feed(scanner: ModelExtractor, data: bytes, size: int) -> None:
    for begin in range(0, len(data), size):
        scanner.feed(data[begin : begin + size])


def refuse_and_feed(scanner: ModelExtractor, data: bytes, size: int) -> None:
    scanner.refuse(frozenset({"models"}))
    feed(scanner, data, size)


def put_back(out: bytes, scanner: ModelExtractor, model: bytes) -> bytes:
    return out[: scanner.model_at] + model + out[scanner.model_at :]


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD.keys())
def test_every_other_byte_passes_whole_or_byte_by_byte(body: bytes) -> None:
    for cuts in ([], list(range(len(body)))):
        out, scanner = scan(body, cuts)
        assert scanner.model is not None
        assert scanner.model_size == len(scanner.model.encode())
        assert put_back(out, scanner, scanner.model.encode()) == body


@given(st.lists(st.integers(0, 2500), max_size=12), st.binary(max_size=300))
def test_the_cuts_of_the_network_change_nothing(cuts: list[int], content: bytes) -> None:
    body = part("Content-Disposition: form-data; name=image; filename=a", content) + MODEL + FILE + END
    out, scanner = scan(body, cuts)
    assert put_back(out, scanner, b"prometheus-echo") == body


@given(st.binary(max_size=400), st.integers(1, 50))
def test_garbage_is_refused_or_passed_and_breaks_nothing(data: bytes, size: int) -> None:
    scanner = ModelExtractor(B)
    body = b"--" + B + b"\r\n" + data
    try:
        for begin in range(0, len(body), size):
            scanner.feed(body[begin : begin + size])
        scanner.finish()
    except InvalidRequest:
        return
    assert scanner.model is not None


def test_the_model_is_known_before_the_file_has_come() -> None:
    scanner = ModelExtractor(B)
    out = scanner.feed(MODEL + FILE[:200])
    assert scanner.model == "prometheus-echo"
    assert put_back(out, scanner, b"prometheus-echo") == (MODEL + FILE)[: len(out) + len(b"prometheus-echo")]


def test_content_is_not_held_back_beyond_a_boundarys_length() -> None:
    scanner = ModelExtractor(B)
    given_back = scanner.feed(FILE[:-2])
    assert len(FILE) - len(given_back) <= len(B) + 8


def test_only_a_little_is_kept_of_a_large_file() -> None:
    scanner = ModelExtractor(B)
    scanner.feed(FILE[:100])
    for _ in range(100):
        assert len(scanner.feed(b"\r\n" * 5000)) > 9000


def test_a_stream_that_is_asked_for_is_noted() -> None:
    _, scanner = scan(MODEL + field("stream", b"true") + END)
    assert scanner.stream


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=UTF-8',
        b'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain;charset="utf-8"; x=y',
        b'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=us-ascii',
        b'Content-Disposition: form-data; name="a"; filename="b"\r\nContent-Type: text/csv; charset=latin-1',
        b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: binary\r\nContent-Length: 5',
        b'Content-Disposition: form-data; name="a"; filename="my name.mp3"',
        b'Content-Disposition: form-data; name="a"; filename="%22quoted%22.mp3"',
    ],
)
def test_a_plain_part_head_is_read(head: bytes) -> None:
    name, file_name = read_part_head(head)
    assert (name, file_name is not None) == (b"a", b"filename" in head)


def test_the_content_of_a_file_is_bounded_and_nothing_else() -> None:
    content = bytes(10_000)
    body = field("prompt", b"x" * 20_000) + part('Content-Disposition: form-data; name="file"; filename="a"', content)
    for size in (1_000, 100_000):
        for limit, fits in ((10_000, True), (9_999, False), (0, True)):
            scanner = ModelExtractor(B, max_file_bytes=limit)
            data = body + MODEL + END
            if fits:
                feed(scanner, data, size)
                scanner.finish()
                assert scanner.file[1] - scanner.file[0] == 10_000
            else:
                with pytest.raises(BodyTooLarge, match="The file is larger than 9999 bytes"):
                    feed(scanner, data, size)


@pytest.mark.parametrize("size", [7, 100_000])
@pytest.mark.parametrize("before", [True, False])
def test_a_field_that_chooses_models_is_refused_in_front_of_the_model_and_behind_it(before: bool, size: int) -> None:
    data = (field("models[]", b"x") + MODEL if before else MODEL + field("models[]", b"x")) + END
    scan(data)
    scanner = ModelExtractor(B)
    known = len(data) if before else len(MODEL)
    feed(scanner, data[:known], size)
    with pytest.raises(InvalidRequest, match="'models' chooses a further model"):
        refuse_and_feed(scanner, data[known:], size)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"True", True), (b"on", True), (b"y", True), (b"1", True), (b"false", False), (b"x" * 500, False)],
)
def test_the_spellings_of_stream(value: bytes, expected: bool) -> None:
    body = MODEL + field("stream", value) + END
    out, scanner = scan(body)
    assert scanner.stream is expected
    assert put_back(out, scanner, b"prometheus-echo") == body


BAD = {
    "nothing": (b"", "empty"),
    "no model": (FILE + END, "must provide a model"),
    "an empty model": (field("model", b"") + END, "it is empty"),
    "two models": (MODEL + FILE + MODEL + END, "two 'model' parts"),
    "two models, one unquoted": (
        MODEL + part("Content-Disposition: form-data; name=model", b"x") + END,
        "two 'model' parts",
    ),
    "a model that is a file": (
        part('Content-Disposition: form-data; name="model"; filename="m"', b"a") + END,
        "plain field",
    ),
    "a model beyond reason": (field("model", b"m" * (MAX_MODEL_CHARACTERS + 1)) + END, "too long"),
    "a model that is no text": (field("model", b"\xff") + END, "UTF-8"),
    "cut in a file": (MODEL + FILE[:-20], "ends before"),
    "cut before the last hyphens": (MODEL + b"--" + B, "ends before"),
    "cut in a part's head": (MODEL + b"--" + B + b"\r\nContent-Dispo", "ends before"),
    "another boundary": (MODEL.replace(b"0", b"1") + END, "does not begin"),
    "JSON": (b'{"model":"a"}', "does not begin"),
    "words before the first boundary": (b"hello\r\n" + MODEL + END, "does not begin"),
    "words after the last boundary": (MODEL + END + MODEL, "bytes follow"),
    "a longer boundary": (MODEL + b"--" + B + b"x\r\n" + MODEL + END, "not followed by a line end"),
    "a boundary behind a bare line feed": (
        MODEL + field("prompt", b"a\n--" + B + b"\nContent-Disposition: form-data; name=model\n\nb") + END,
        "broken line end",
    ),
    "a boundary behind a bare carriage return": (MODEL + field("prompt", b"a\r--" + B + b"\r") + END, "broken line"),
    "a part without a line end of its own": (
        MODEL + b"--" + B + b"\r\nContent-Disposition: form-data; name=a\r\n\r\n--" + B + b"--\r\n",
        "broken line end",
    ),
    "two files": (FILE + FILE + MODEL + END, "two 'file' parts"),
    "two files, one without a name": (FILE + field("file", b"x") + MODEL + END, "two 'file' parts"),
    "two response formats": (
        MODEL + field("response_format", b"json") + field("response_format", b"text") + END,
        "two 'response_format' parts",
    ),
    "two streams": (MODEL + field("stream", b"true") + field("stream", b"false") + END, "two 'stream' parts"),
    "a list of models": (MODEL + field("model[]", b"x") + END, "can be read as 'model'"),
    "a model in a list": (MODEL + field("model[0]", b"x") + END, "can be read as 'model'"),
    "a model in other letters": (MODEL + field("Model", b"x") + END, "can be read as 'model'"),
    "a stream in other letters": (MODEL + field("\u017ftream", b"true") + END, "can be read as 'stream'"),
    "a file in other letters": (MODEL + field("FILE", b"x") + END, "can be read as 'file'"),
    "a stream that is a file": (
        MODEL + part('Content-Disposition: form-data; name="stream"; filename=""', b"true") + END,
        "plain field",
    ),
    "a file without a name": (
        MODEL + part('Content-Disposition: form-data; name="file"; filename=""', b"x") + END,
        "its file has no name",
    ),
    "a character set for all": (field("_charset_", b"utf-7") + MODEL + END, "character set"),
    "an object": (MODEL + field("file_id", b"file-1") + END, "objects cannot be named"),
    "an object in brackets": (MODEL + field("images[0][file_id]", b"file-1") + END, "objects cannot be named"),
    "a reference to an object": (MODEL + field("input_reference[file_id]", b"f") + END, "objects cannot be named"),
    "an object in JSON": (MODEL + field("x", b'{"file_id":"f"}') + END, "objects cannot be named"),
    "long JSON": (MODEL + field("x", b"[" + b" " * 70_000) + END, "JSON of more than"),
    "too many parts": (field("a", b"") * (MAX_PARTS + 1) + MODEL + END, "more than"),
    "a head that does not end": (
        b"--" + B + b"\r\nContent-Disposition: " + b"a" * (MAX_PART_HEAD_BYTES + 1),
        "head of a part",
    ),
}


@pytest.mark.parametrize(("body", "message"), BAD.values(), ids=BAD.keys())
def test_what_two_readers_could_read_differently_is_refused(body: bytes, message: str) -> None:
    for cuts in ([], list(range(len(body))) if len(body) < 5000 else [7]):
        with pytest.raises(InvalidRequest, match=message):
            scan(body, cuts)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: text/plain",
        b"Content-Disposition: form-data",
        b"Content-Disposition: attachment; name=model",
        b"Content-Disposition: form-data; name=a; name=model",
        b"Content-Disposition: form-data; name=a; NAME=model",
        b"Content-Disposition: form-data; name=a; name*=utf-8''model",
        b'Content-Disposition: form-data; name="x"; name*0="model"',
        b"Content-Disposition: form-data; name=\"x\"; name*0*=utf-8''model",
        b'Content-Disposition: form-data; name="x"; NAME*1="model"',
        b"Content-Disposition: form-data; name=file; filename*=utf-8''b",
        b"Content-Disposition: form-data; name=file; filename=\"\"; filename*=utf-8''b",
        b"Content-Disposition: form-data; name=file; filename=a; filename*=utf-8''",
        b"Content-Disposition: form-data; name=file; filename=a; filename*=b",
        b"Content-Disposition: form-data; name=file; filename=a; filename*=\"utf-8''b\"",
        b"Content-Disposition: form-data; name=file; filename=a; filename*=iso-8859-1''b",
        b"Content-Disposition: form-data; name=file; filename=a; filename*=utf-8''b; filename*=utf-8''c",
        b"Content-Disposition: form-data; name=file; filename=a; filename*=utf-8''b%",
        b"Content-Disposition: form-data; name=file; filename=a; filename*=utf-8''b%0D%0Ac",
        b"Content-Disposition: form-data; name=file; filename=a; filename*=utf-8''b%22; name=model",
        b"Content-Disposition: form-data; name=file; filename=a; filename**=utf-8''b",
        b"Content-Disposition: form-data; name=file; filename=a; filename*0*=utf-8''b",
        b'Content-Disposition: form-data; name=a; filename=""\r\nContent-Type: text/plain; charset=utf-16',
        b'Content-Disposition: form-data; name="file"; filename*0="a"',
        b'Content-Disposition: form-data; name="x"; x*="y"',
        b'Content-Disposition: form-data; name="mod\\el"',
        b"Content-Disposition: form-data; name=mod\\el",
        b'Content-Disposition: form-data; name="mod\\\\el"',
        b'Content-Disposition: form-data; name="\\"model"',
        b'Content-Disposition: form-data; name="file"; filename="a"; x="b\\c"',
        b'Content-Disposition: form-data; name="file"; filename="a; name=model"',
        b"Content-Disposition: form-data; name='model'",
        b'Content-Disposition: form-data; name="model "',
        b'Content-Disposition: form-data; name=" model"',
        b"Content-Disposition: form-data; name=model,x",
        b"Content-Disposition: form-data; name=model/x",
        b'Content-Disposition: form-data; name="=?utf-8?q?model?="',
        b"Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
        b"Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: quoted-printable",
        b"Content-Disposition: form-data; name=a\r\nContent-Encoding: gzip",
        b"Content-Disposition: form-data; name=a\r\nContent-Type: text/plain; charset=utf-7",
        b'Content-Disposition: form-data; name=a\r\nContent-Type: text/plain;charset="utf-16"',
        b"Content-Disposition: form-data; name=" + b"a" * 257,
        b'Content-Disposition: form-data; name="x";',
        b'Content-Disposition: form-data; name="mod%65l"',
        b'Content-Disposition: form-data; name="%22x"',
        b"Content-Disposition: form-data; name=a" + b"; a=b" * 9,
        b"Content-Disposition: form-data; name=a" + b"".join(b"; a%d=b" % number for number in range(9)),
        b"Content-Disposition: form-data; name=a" + b"\r\nX-A: b" * 20,
        b"Content-Disposition: form-data; name*=utf-8''model",
        b"Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=model",
        b"Content-Disposition: form-data; name=a\r\n ; name=model",
        b"Content-Disposition: form-data; name=a\nX: b",
        b"Content-Disposition: form-data; name=\x00model",
        b"Content-Disposition : form-data; name=a",
        b'Content-Disposition: form-data; filename="a\\"; name="model"',
        b'Content-Disposition: form-data; filename="a\\"; name="model"; x="; name=file; y="',
        b'Content-Disposition: form-data; name="file"; filename="a\\"; name=\\"model\\""',
        b'Content-Disposition: form-data; name="model',
    ],
)
def test_a_part_head_that_hides_its_name_is_refused(head: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_part_head(head)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Disposition: form-data; name=file; filename=a.wav; filename*=utf-8''a.wav",
        b"Content-Disposition: form-data; name=file; FileName*=UTF-8''%C3%A9%20a%2fb.wav; filename=\"_ a.wav\"",
        b"Content-Disposition: form-data; filename=a.wav; filename*=utf-8''name; name=\"file\"",
        b'Content-Disposition: form-data; name=file; filename="C:\\dir\\a.mp3"',
        b"Content-Disposition: form-data; name=file; filename=\"dir\\a.mp3\"; filename*=utf-8''dir%5Ca.mp3",
    ],
)
def test_a_file_may_have_a_path_of_windows_and_an_extended_name_beside_its_plain_one(head: bytes) -> None:
    name, file_name = read_part_head(head)
    assert name == b"file"
    assert file_name


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'multipart/form-data; boundary="a b=c"', b"a b=c"),
        (b"Multipart/Form-Data;BOUNDARY=----x", b"----x"),
        (b"multipart/form-data; charset=utf-8; boundary=abc;", b"abc"),
        (b'multipart/form-data; boundary="ANKMn9YH=jxFvHiq"', b"ANKMn9YH=jxFvHiq"),
    ],
)
def test_the_boundary_is_read_from_the_content_type(content_type: bytes, boundary: bytes) -> None:
    assert is_multipart(content_type)
    assert boundary_of(content_type) == boundary
    assert boundary_of(content_type_line(boundary).partition(b": ")[2].strip()) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b'multipart/form-data; boundary=""',
        b"multipart/form-data; boundary=a; boundary=b",
        b'multipart/form-data; x="; boundary=a"; boundary=b; boundary=c',
        b"multipart/form-data; boundary=" + b"a" * 201,
        b'multipart/form-data; boundary="a\\"b"',
        b"multipart/form-data; boundary=a b",
        b"multipart/form-data; boundary=a\x80",
    ],
)
def test_a_content_type_without_one_clear_boundary_is_refused(content_type: bytes) -> None:
    with pytest.raises(InvalidRequest):
        boundary_of(content_type)


def test_an_unquoted_boundary_stays_unquoted() -> None:
    assert content_type_line(b"abc") == b"content-type: multipart/form-data; boundary=abc\r\n"
    assert content_type_line(b"a=c") == b'content-type: multipart/form-data; boundary="a=c"\r\n'


@pytest.mark.parametrize(
    ("body", "names_one"),
    [(MODEL + FILE + END, True), (FILE + MODEL + END, True), (FILE + END, False), (b"--" + B + b"--\r\n", False)],
    ids=["first", "last", "none", "no part at all"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_model_that_the_path_names_takes_the_place_of_the_form_s(body: bytes, names_one: bool, size: int) -> None:
    scanner = ModelExtractor(B, "of-the-path")
    out = b"".join(scanner.feed(body[at : at + size]) for at in range(0, len(body), size))
    scanner.finish()
    assert scanner.model == "of-the-path"
    whole = out[: scanner.model_at] + b"renamed" + out[scanner.model_at :]
    wanted = body.replace(b"prometheus-echo", b"renamed")
    if not names_one:
        wanted = body.removesuffix(b"--" + B + b"--\r\n") + field("model", b"renamed") + END
    assert whole == wanted
    assert len(whole) == len(body) - scanner.model_size + len(b"renamed")


def test_a_model_of_the_path_s_does_not_hide_two_in_the_form() -> None:
    with pytest.raises(InvalidRequest, match="two 'model' parts"):
        ModelExtractor(B, "of-the-path").feed(MODEL + MODEL + END)


FORM = b"\r\n" + field("purpose", b"assistants") + field("empty", b"") + FILE + b"--" + B + b"--\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_the_events_are_the_form_byte_for_byte_wherever_it_is_cut(size: int) -> None:
    parser = MultipartParser(B)
    events = []
    for at in range(0, len(FORM), size):
        parser.receive(FORM[at : at + size])
        while (event := parser.next_event()) is not None:
            events.append(event)
    parser.finish()
    assert b"".join(event.data for event in events) == FORM
    parts = [(event.name, event.is_file) for event in events if event.kind is EventKind.PART]
    assert parts == [("purpose", False), ("empty", False), ("file", True)]
    assert b"".join(event.data for event in events if event.kind is EventKind.CONTENT) == b"assistants" + AUDIO
    assert sum(event.kind is EventKind.CLOSE for event in events) == 1


def test_an_event_comes_as_soon_as_its_bytes_are_here() -> None:
    parser = MultipartParser(B)
    parser.receive(field("a", b"b") + b"--" + B)
    assert [event.kind for event in iter(parser.next_event, None)] == [
        EventKind.BOUNDARY,
        EventKind.PART,
        EventKind.CONTENT,
        EventKind.BOUNDARY,
    ]
