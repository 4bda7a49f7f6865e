"""A journal that cannot be written: new work is refused, and what was earned already is neither cut nor lost."""

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.exchange.samples import DONE, ROLE, STOP, STREAM, USAGE, ask, begun, question, rewritten, serving, wait_until
from tests.fakes import LAST_CHUNK, Send, WaitFor, chunk, sse_answer

Switch = Callable[[bool], None]


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switch]:
    """Fills and frees the disk that the journal is on."""
    folder = os.path.realpath(tmp_path / "journal")
    full = threading.Event()
    write = os.write

    def failing(descriptor: int, data: bytes) -> int:
        if full.is_set() and os.readlink(f"/proc/self/fd/{descriptor}").startswith(folder):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", failing)
    yield lambda on: full.set() if on else full.clear()
    full.clear()


def test_new_work_is_refused_and_reaches_no_upstream(tmp_path: Path, full_disk: Switch) -> None:
    with serving(tmp_path) as (gateway, upstream):
        full_disk(True)
        for _ in range(2):
            answer, body = ask(gateway)
            assert answer.status == 503
            assert json.loads(body.payload)["error"]["code"] == "store_unavailable"
        assert str(tmp_path).encode() not in body.payload
        assert not upstream.requests


def test_an_answer_under_way_is_finished_and_its_bill_is_kept(tmp_path: Path, full_disk: Switch) -> None:
    gate = threading.Event()
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE), WaitFor(gate), chunk(STOP + USAGE + DONE), Send(LAST_CHUNK)])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            full_disk(True)
            gate.set()
            body = client.read_chunked()
        assert (body.payload, body.complete) == (rewritten(ROLE + STOP + DONE), True)
        assert ask(gateway)[0].status == 503
        full_disk(False)
        wait_until(lambda: gateway.call(lambda running: running.ledger.failure) is None, "a mended journal")
        (row,) = gateway.rows()
        assert (row.outcome, row.input_tokens, row.output_tokens) == ("complete", 9, 2)


def test_work_is_taken_again_when_the_disk_has_room(tmp_path: Path, full_disk: Switch) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        full_disk(True)
        assert ask(gateway)[0].status == 503
        full_disk(False)
        wait_until(lambda: gateway.call(lambda running: running.ledger.failure) is None, "a mended journal")
        assert ask(gateway)[0].status == 200
        assert [row.outcome for row in gateway.rows()][-1] == "complete"


def test_readiness_tells_of_it(tmp_path: Path, full_disk: Switch) -> None:
    with serving(tmp_path) as (gateway, _), gateway.client() as client:
        full_disk(True)
        ask(gateway)
        client.request("GET", "/readyz")
        assert client.read_answer()[0].status == 503
        client.request("GET", "/livez")
        assert client.read_answer()[0].status == 200
