"""Messages between the supervisor and a worker, however the stream is cut, and an end that is gone."""

import asyncio
import socket

import pytest

from proxy.errors import GatewayError
from proxy.process import channel
from proxy.process.channel import MessageParser, SupervisorEnd, WorkerEnd

MESSAGES = [("reload", b'{"a": 1}'), ("end", b""), ("drain", b"1.5 s")]
STREAM = b'reload {"a": 1}\nend \ndrain 1.5 s\n'


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_messages_are_whole_wherever_the_stream_is_cut(cut: int) -> None:
    parser = MessageParser()
    assert parser.feed(STREAM[:cut]) + parser.feed(STREAM[cut:]) == MESSAGES


def test_a_message_without_an_end_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MAX_MESSAGE_BYTES", 10)
    parser = MessageParser()
    assert parser.feed(b"a" * 10) == []
    with pytest.raises(GatewayError, match="too long"):
        parser.feed(b"a")


def test_both_ends_hear_each_other_until_one_is_closed() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        received: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        closed = asyncio.Event()
        parent = SupervisorEnd(ours)
        worker = WorkerEnd(theirs, lambda word, payload: received.put_nowait((word, payload)), closed.set)
        worker.send("ready")
        assert parent.receive() == [("ready", b"")]
        assert parent.send("drain", b"1.5 s")
        assert await asyncio.wait_for(received.get(), 5) == ("drain", b"1.5 s")
        ours.close()
        await asyncio.wait_for(closed.wait(), 5)
        # An error is none: the supervisor is gone.
        worker.send("heartbeat")
        worker.close()

    asyncio.run(main())


def test_the_supervisor_notices_a_worker_that_is_gone() -> None:
    ours, theirs = socket.socketpair()
    parent = SupervisorEnd(ours)
    theirs.close()
    assert parent.receive() is None
    assert not parent.send("end")
    ours.close()
