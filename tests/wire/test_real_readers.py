"""What passes the gateway is read in one way: its own scanners against the readers that servers use.

Forms are read by Starlette with python-multipart, by Werkzeug (Flask), by aiohttp and by Go; JSON by Go. A form that
any of them reads in another way than the gateway does would carry a model, or an object, past the rights of a key.
"""

import asyncio
import base64
import importlib.util
import io
import json
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidRequest
from proxy.wire.multipart import EventKind, ModelExtractor, MultipartParser
from proxy.wire.request_body import parse_body, render_body

BOUNDARY = b"bound"
#: (name, whether it is a file, content)
Parts = list[tuple[str, bool, bytes]]
Reader = Callable[[bytes], Parts]


def own_parts(body: bytes) -> Parts:
    """The form as the gateway reads it. Raises `InvalidRequest`."""
    parser = MultipartParser(BOUNDARY)
    parser.receive(body)
    found: Parts = []
    while (event := parser.next_event()) is not None:
        if event.kind is EventKind.PART:
            found.append((event.name, event.is_file, b""))
        elif event.kind is EventKind.CONTENT:
            name, is_file, content = found[-1]
            found[-1] = (name, is_file, content + event.data)
    parser.finish()
    return found


def passed(body: bytes) -> bytes | None:
    """What goes on, with another model in its place; None where it is refused."""
    scanner = ModelExtractor(BOUNDARY)
    try:
        out = scanner.feed(body)
        scanner.finish()
    except InvalidRequest:
        return None
    return out[: scanner.model_at] + b"vendor-model" + out[scanner.model_at :]


def starlette_parts(body: bytes) -> Parts:
    from starlette.datastructures import Headers
    from starlette.formparsers import MultiPartParser

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield body

    async def run() -> Parts:
        headers = Headers({"content-type": f"multipart/form-data; boundary={BOUNDARY.decode()}"})
        found: Parts = []
        for name, value in (await MultiPartParser(headers, pieces()).parse()).multi_items():
            if isinstance(value, str):
                found.append((name, False, value.encode()))
            else:
                found.append((name, bool(value.filename), await value.read()))
                await value.close()
        return found

    return asyncio.run(run())


def werkzeug_parts(body: bytes) -> Parts:
    from werkzeug.formparser import MultiPartParser

    fields, files = MultiPartParser().parse(io.BytesIO(body), BOUNDARY, len(body))
    found = [(name, False, value.encode()) for name, value in fields.items(multi=True)]
    for name, file in files.items(multi=True):
        found.append((name, bool(file.filename), file.read()))
        file.close()
    return found


def aiohttp_parts(body: bytes) -> Parts:
    from aiohttp import MultipartReader
    from aiohttp.streams import StreamReader

    async def run() -> Parts:
        stream = StreamReader(Mock(_reading_paused=False), 2**16, loop=asyncio.get_running_loop())
        stream.feed_data(body)
        stream.feed_eof()
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
        reader = MultipartReader(cast("Any", headers), stream)
        found: Parts = []
        while (part := cast("Any", await reader.next())) is not None:
            found.append((part.name or "", bool(part.filename), bytes(await part.read(decode=True))))
        return found

    return asyncio.run(run())


def available(module: str) -> Any:
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} is not installed")


every_reader = pytest.mark.parametrize(
    "reader",
    [
        pytest.param(starlette_parts, marks=available("python_multipart"), id="starlette"),
        pytest.param(werkzeug_parts, marks=available("werkzeug"), id="werkzeug"),
        pytest.param(aiohttp_parts, marks=available("aiohttp"), id="aiohttp"),
    ],
)


def part(head: bytes, content: bytes) -> bytes:
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (BOUNDARY, head, content)


END = b"--%b--\r\n" % BOUNDARY
MODEL = part(b'Content-Disposition: form-data; name="model"', b"alias")
FILE = part(
    b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav', b"\x00\r\n--boun"
)

#: Heads that some reader has been seen to read as another name than others do.
HEADS = [
    b'Content-Disposition: form-data; name="x"; name*0="model"',
    b"Content-Disposition: form-data; name=\"x\"; name*=utf-8''model",
    b"Content-Disposition: form-data; name=\"x\"; name*0*=utf-8''model",
    b'Content-Disposition: form-data; name="mod\\el"',
    b'Content-Disposition: form-data; name="mod\\\\el"',
    b'Content-Disposition: form-data; name="\\"model\\""',
    b'Content-Disposition: form-data; name="x"; filename="\\"; name=model; y=\\""',
    b'Content-Disposition: form-data; name="x"; filename="a;name=model"',
    b"Content-Disposition: form-data; name=x; NAME=model",
    b'Content-Disposition: form-data; name="model',
    b"Content-Disposition: form-data; name='model'",
    b"Content-Disposition: form-data; name=model/x",
    b'Content-Disposition: form-data; name=" model"',
    b'Content-Disposition: form-data; name="=?utf-8?b?bW9kZWw=?="',
    b'Content-Disposition: form-data; name="x"; name*0="file"; filename="b"',
    b'Content-Disposition: form-data; name="image"; filename=""',
    b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: quoted-printable',
    b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64',
    b'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=utf-16',
    b'Content-Disposition: form-data; name="_charset_"',
    b"Content-Disposition: form-data; name=x; filename=a; filename*=utf-8''%3Bname%3Dmodel",
    b'Content-Disposition: form-data; name=x; filename="a\\b\\"; name=model',
    b'Content-Disposition: form-data; name=x; filename="a\\b\\\\"',
    b"Content-Disposition: form-data; name=x; filename=\"C:\\model\"; filename*=utf-8''C:%5Cmodel",
    b"Content-Disposition: form-data; filename*=utf-8''name; filename=model; name=x",
    b"Content-Disposition: form-data; name=x; filename*=utf-8''a",
    b"Content-Disposition: form-data; name=x; filename=\"\"; filename*=utf-8''a",
]
FRAGMENTS = st.sampled_from(
    [
        *(b"name", b"filename", b"=", b'"', b"\\", b"*", b"*0", b";", b"; ", b" ", b"model", b"file", b"x", b"'", b"."),
        *(b"utf-8''", b",", b"form-data", b"%22", b"\t", b"/", b"=?utf-8?q?", b"?=", b"[", b"]", b"stream"),
        *(b"; filename=a", b"; filename*=utf-8''b", b"%C3%A9", b"%2f", b"%FF"),
        "é".encode(),
    ]
)
CONTENTS = st.lists(
    st.sampled_from(
        [
            b"\r\n",
            b"--bound",
            b"--",
            b"\n",
            b"\r",
            b"alias",
            b"bound",
            b"a",
            b"=3D",
            b'Content-Disposition: form-data; name="model"',
        ]
    ),
    max_size=6,
).map(b"".join)
DISPOSITIONS = st.one_of(
    st.sampled_from(HEADS),
    st.sampled_from(["a", "prompt", "stream", "image[]", "language"]).map(
        lambda name: f'Content-Disposition: form-data; name="{name}"'.encode()
    ),
    st.lists(FRAGMENTS, max_size=8).map(lambda parts: b'Content-Disposition: form-data; name="x"' + b"".join(parts)),
    st.lists(FRAGMENTS, max_size=8).map(lambda parts: b"Content-Disposition: form-data; name=" + b"".join(parts)),
)
FORMS = st.lists(st.builds(part, DISPOSITIONS, CONTENTS), max_size=3).map(
    lambda parts: b"".join(parts[:1]) + MODEL + b"".join(parts[1:]) + END
)


def by_name(parts: Parts) -> Parts:
    """Those of one name together, in their order: not every reader keeps that of all."""
    return sorted(parts, key=lambda part: part[:2])


def check(reader: Reader, body: bytes) -> None:
    out = passed(body)
    if out is not None:
        assert by_name(reader(out)) == by_name(own_parts(out)), out


@every_reader
@pytest.mark.parametrize(
    "body", [MODEL + FILE + END, FILE + MODEL + END, part(b"Content-Disposition: form-data; name=a", b"") + MODEL + END]
)
def test_an_ordinary_form_passes_and_is_read_alike(reader: Reader, body: bytes) -> None:
    assert passed(body) is not None
    check(reader, body)


@every_reader
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("before", [True, False])
def test_a_head_that_two_servers_read_in_two_ways_does_not_pass(reader: Reader, head: bytes, before: bool) -> None:
    other = part(head, b"vendor-secret")
    check(reader, (other + MODEL if before else MODEL + other) + END)


@every_reader
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=400, deadline=None)
@given(body=FORMS)
def test_whatever_passes_is_read_alike(reader: Reader, body: bytes) -> None:
    check(reader, body)


class GoReader:
    """A program that reads as Go does, one line for each body."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, kind: bytes, body: bytes) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(kind + b"\t" + base64.b64encode(body) + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def parts(self, body: bytes) -> Parts:
        answer = self.ask(b"form " + BOUNDARY, body)
        return [(one["name"], one["is_file"], base64.b64decode(one["content"])) for one in answer]

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoReader]:
    compiler = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if compiler is None:
        pytest.skip("Go is not installed")
    folder = tmp_path_factory.mktemp("go")
    shutil.copy(Path(__file__).with_name("forms_reader.go"), folder / "main.go")
    subprocess.run([compiler, "build", "-o", "reader", "main.go"], cwd=folder, check=True, timeout=500)
    reader = GoReader(folder / "reader")
    yield reader
    reader.close()


NAMES = [
    "model",
    "Model",
    "MODEL",
    "modeL",
    "stream",
    "\u017ftream",
    "STREAM",
    "store",
    "\u017ftore",
    "Store",
    "file_ids",
]
NAMES += ["file_id\u017f", "File_Ids", "previous_response_id", "Previous_Response_ID", "x", "temperature"]


@pytest.mark.slow
@settings(max_examples=1_000, deadline=None)
@given(body=FORMS)
def test_whatever_form_passes_go_reads_alike(go: GoReader, body: bytes) -> None:
    check(go.parts, body)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_go_reads_in_another_way_does_not_pass(go: GoReader, head: bytes) -> None:
    check(go.parts, part(head, b"vendor-secret") + MODEL + END)


@pytest.mark.slow
@settings(max_examples=1_000, deadline=None)
@given(names=st.lists(st.sampled_from(NAMES), max_size=4), escaped=st.booleans())
def test_whatever_json_passes_go_reads_alike(go: GoReader, names: list[str], escaped: bool) -> None:
    values = {"m": '"vendor-secret"', "s": "true", "f": '["file-1"]', "p": '"resp_1"', "x": "1", "t": "1"}
    fields = [f"{json.dumps(name, ensure_ascii=escaped)}:{values[name[0].casefold()]}" for name in names]
    data = ("{" + ",".join(['"model":"alias"', *fields]) + "}").encode()
    try:
        body = parse_body(data)
    except InvalidRequest:
        return
    sent = render_body(body, "vendor-model", False)
    read = go.ask(b"json", sent)
    assert read is not None
    plain = msgspec.json.decode(sent)
    assert read["model"] == "vendor-model"
    assert read["stream"] == body.stream
    assert (read["store"] or False) == plain.get("store", False)
    assert (read["file_ids"] or []) == plain.get("file_ids", [])
    assert read["previous_response_id"] == plain.get("previous_response_id", "")
