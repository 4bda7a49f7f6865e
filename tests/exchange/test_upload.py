"""An upload between its two sides, without sockets: what is sent, what is held, and who is made to wait."""

import pytest

from proxy.errors import BodyTooLarge, InvalidRequest
from proxy.exchange.audio_length import Measured
from proxy.exchange.upload import HIGH_WATER_BYTES, MAX_REPEATABLE_BYTES, Upload
from proxy.server.bodies import Bodies
from proxy.upstream.client import SLICE_BYTES
from tests.endpoints.forms import END, B, field, file

MODEL = field("model", "alias")
#: A file that has begun, up to its content.
BEGUN = file(b"")[:-2]
LIMIT = 10_000_000


class Client:
    """The client's side: only whether it is read."""

    def __init__(self) -> None:
        self.paused = False

    def pause_body(self) -> None:
        self.paused = True

    def resume_body(self) -> None:
        self.paused = False


class Line:
    """The upstream's side: keeps what was sent; stops its source when it has taken `room` bytes."""

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        self.data = b""
        self.ended = False
        self.source: Upload | None = None

    def send(self, head: bytes, body: bytes, sink: object, source: Upload | None) -> None:
        self.source = source
        self.write(body, source is None)

    def write(self, data: bytes, last: bool) -> None:
        assert not self.ended
        self.data += data
        self.ended = last
        if self.room is not None and len(self.data) >= self.room and self.source is not None:
            self.source.blocked()


def opened(upload: Upload, line: Line, model: str = "upstream-model") -> bytes:
    """Open it on a line; gives the header lines."""
    lines = upload.lines(model)
    upload.open(line, b"", model, None)  # type: ignore[arg-type]
    return lines


def expected(body: bytes, model: bytes = b"upstream-model") -> bytes:
    return body.replace(b"alias", model)


def unchunked(data: bytes) -> bytes:
    out = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        out += data[:length]
        assert data[length : length + 2] == b"\r\n"
        data = data[length + 2 :]
        if not length:
            assert not data
            return out


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("first", ["model", "file"])
@pytest.mark.parametrize("size", [10, SLICE_BYTES - 60, 3 * SLICE_BYTES])
def test_everything_is_sent_with_the_other_name_in_its_framing(announced: bool, first: str, size: int) -> None:
    parts = [MODEL, file(bytes(size))]
    body = b"".join(parts if first == "model" else parts[::-1]) + END
    upload = Upload(Client(), B, LIMIT, len(body) if announced else None, Bodies())
    line = Line()
    half = len(body) - 4
    upload.receive(body[:half])
    lines = opened(upload, line)
    upload.receive(body[half:])
    upload.end()
    assert line.ended
    if announced:
        assert b"content-length: %d\r\n" % len(expected(body)) in lines
        assert line.data == expected(body)
    else:
        assert b"transfer-encoding: chunked\r\n" in lines
        assert unchunked(line.data) == expected(body)


def test_a_body_that_is_whole_is_sent_with_its_length_though_none_was_announced() -> None:
    body = MODEL + END
    upload = Upload(Client(), B, LIMIT, None, Bodies())
    assert upload.receive(body)
    upload.end()
    line = Line()
    assert b"content-length: %d\r\n" % len(expected(body)) in opened(upload, line)
    assert (line.data, line.ended) == (expected(body), True)


def test_the_model_is_told_once() -> None:
    upload = Upload(Client(), B, LIMIT, None, Bodies())
    assert not upload.receive(file(b"x").replace(b'"file"', b'"image"'))
    assert upload.receive(MODEL + BEGUN[:10])
    assert not upload.receive(BEGUN[10:])
    assert upload.model == "alias"


def test_a_client_is_not_read_while_the_upstream_takes_nothing_and_is_again_when_it_does() -> None:
    client, line = Client(), Line(room=100)
    upload = Upload(client, B, LIMIT, None, Bodies())
    upload.receive(MODEL + BEGUN)
    opened(upload, line)
    while not client.paused:
        upload.receive(bytes(SLICE_BYTES))
        assert len(upload._outgoing.buffer) < HIGH_WATER_BYTES + 2 * SLICE_BYTES
    line.room = None
    upload.unblocked()
    assert not client.paused


def test_a_client_is_read_to_the_cap_while_its_model_is_not_known() -> None:
    client = Client()
    upload = Upload(client, B, LIMIT, None, Bodies())
    upload.receive(BEGUN)
    for _ in range(100):
        upload.receive(bytes(SLICE_BYTES))
    assert not client.paused
    assert upload.error is None


def test_what_was_sent_is_let_go_beyond_what_another_attempt_may_need() -> None:
    upload, line = Upload(Client(), B, LIMIT, None, Bodies()), Line()
    upload.receive(MODEL + BEGUN)
    opened(upload, line)
    for _ in range(MAX_REPEATABLE_BYTES // SLICE_BYTES + 2):
        upload.receive(bytes(SLICE_BYTES))
    assert not upload.repeatable
    assert len(upload._outgoing.buffer) < 1000


@pytest.mark.parametrize("model", ["m", "a-much-longer-name-of-a-model"])
def test_another_attempt_sends_it_from_its_beginning_under_its_own_name(model: str) -> None:
    body = file(bytes(5000)) + MODEL + END
    upload = Upload(Client(), B, LIMIT, len(body), Bodies())
    upload.receive(body[:-20])
    first, second = Line(), Line()
    opened(upload, first)
    upload.detached()
    upload.receive(body[-20:])
    upload.end()
    assert not first.ended
    assert upload.repeatable
    lines = opened(upload, second, model)
    assert (second.data, second.ended) == (expected(body, model.encode()), True)
    assert b"content-length: %d\r\n" % len(second.data) in lines


def test_a_body_beyond_the_limit_is_an_error_and_nothing_of_it_is_kept_after() -> None:
    upload = Upload(Client(), B, 1000, None, Bodies())
    upload.receive(MODEL)
    assert upload.receive(bytes(1000))
    assert isinstance(upload.error, BodyTooLarge)
    held = len(upload._outgoing.buffer)
    assert not upload.receive(bytes(1000))
    assert len(upload._outgoing.buffer) == held


def test_a_body_that_ends_too_early_is_never_ended_towards_the_upstream() -> None:
    upload, line = Upload(Client(), B, LIMIT, None, Bodies()), Line()
    upload.receive(MODEL + BEGUN)
    opened(upload, line)
    upload.end()
    assert isinstance(upload.error, InvalidRequest)
    assert not line.ended
    assert not upload.whole


def test_a_second_model_is_an_error_after_bytes_have_left() -> None:
    upload, line = Upload(Client(), B, LIMIT, None, Bodies()), Line()
    upload.receive(MODEL)
    opened(upload, line)
    assert upload.receive(MODEL + END)
    assert isinstance(upload.error, InvalidRequest)
    assert not line.ended


def test_what_a_thread_may_look_at_is_kept_also_when_nobody_waits_for_it() -> None:
    class Lent:
        """A meter whose thread goes on after its time is over."""

        def measure(self, data: memoryview, done: Measured) -> None:
            self.data, self.done = data, done

    content = bytes(range(256)) * (4 * MAX_REPEATABLE_BYTES // 256)
    upload, line, meter = Upload(Client(), B, LIMIT, None, Bodies()), Line(), Lent()
    upload.measure_with(meter)  # type: ignore[arg-type]
    upload.receive(MODEL + file(content) + END)
    upload.end()
    meter.done(None, "it took too long")
    opened(upload, line)
    assert content in line.data
    assert bytes(meter.data) == content
