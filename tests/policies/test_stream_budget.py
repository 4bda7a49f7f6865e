"""A stream ends when the money of its budget is spent, and its bill is what was sent until then."""

import json
import threading
from functools import partial
from pathlib import Path

import msgspec
import pytest

from proxy.errors import BudgetExceeded
from proxy.ledger.spending import Payers
from proxy.limits.budget import STOP_STREAM, BudgetReservation, Pot, Rule
from proxy.limits.calendar import Calendar
from proxy.limits.counters import SharedCounters
from proxy.limits.worst_case import OutputSizes
from proxy.policies.stream_budget import StreamBudget
from tests.exchange.samples import DONE, EVENTS, ROLE, STOP, USAGE, word
from tests.fakes import LAST_CHUNK, RecordedRequest, Send, Step, WaitFor, chunk, head
from tests.policies.budgeting import ask, budget, budgeted, counts, requests
from tests.serving import ALIAS, KEY

WORDS = 400


def long_stream(_: RecordedRequest, gate: threading.Event | None = None) -> list[Step]:
    events: list[Step] = [chunk(word("token ")) for _ in range(WORDS)]
    if gate is not None:
        events.insert(1, WaitFor(gate))
    return [head(200, EVENTS), chunk(ROLE), *events, chunk(STOP), chunk(USAGE), chunk(DONE), Send(LAST_CHUNK)]


def messages_stream(_: RecordedRequest, gate: threading.Event) -> list[Step]:
    def event(kind: str, **fields: object) -> Send:
        return chunk(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode())

    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [], "usage": usage}
    delta = {"type": "text_delta", "text": "token " * 6}
    return [
        head(200, EVENTS),
        event("message_start", message=message),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta=delta),
        WaitFor(gate),
        *[event("content_block_delta", index=0, delta=delta) for _ in range(WORDS)],
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": WORDS}),
        event("message_stop"),
        Send(LAST_CHUNK),
    ]


def test_a_stream_is_stopped_with_an_error_event_and_billed(tmp_path: Path) -> None:
    budgets = {"all": budget(requests(5), on_exceed="stop_stream", window="total")}
    gate = threading.Event()
    with budgeted(tmp_path, budgets, partial(long_stream, gate=gate)) as (gateway, _):
        with gateway.client() as client:
            gateway.chat(client, {"model": ALIAS, "messages": [], "stream": True, "max_tokens": 1_000})
            assert client.read_head().status == 200
            body = client.read_until(b"token ")
            gate.set()
            body += client.read_all()
        assert b"budget_exceeded" in body
        assert b"ran out while this response was sent: $" in body
        assert b"[DONE]" not in body
        assert 1 <= body.count(b"token ") < WORDS
        row = gateway.rows()[0]
        assert (row.outcome, row.status, row.error_code) == ("refused", 200, "rate_limit_exceeded")
        assert row.cost is not None
        assert row.cost > 0
        assert counts(gateway, "all") == (row.cost, 0)


def test_anthropics_clients_get_the_error_in_their_own_events(tmp_path: Path) -> None:
    budgets = {"all": budget(requests(5), on_exceed="stop_stream")}
    gate = threading.Event()
    with budgeted(tmp_path, budgets, partial(messages_stream, gate=gate)) as (gateway, _):
        config = gateway.config
        vendor = msgspec.structs.replace(config.upstreams["vendor1"], formats=["anthropic"])
        gateway.reload(msgspec.structs.replace(config, upstreams={"vendor1": vendor}))
        with gateway.client() as client:
            fields = {"model": ALIAS, "messages": [], "stream": True, "max_tokens": 1_000}
            client.request("POST", "/v1/messages", json.dumps(fields).encode(), {"authorization": f"Bearer {KEY}"})
            client.read_head()
            client.read_until(b"token ")
            gate.set()
            body = client.read_all()
        assert b"event: error\n" in body
        assert b"message_stop" not in body


@pytest.mark.parametrize("on_exceed", ["stop_stream", "refuse"])
def test_a_stream_that_its_budget_pays_for_goes_on(tmp_path: Path, on_exceed: str) -> None:
    with budgeted(tmp_path, {"all": budget("1", on_exceed=on_exceed)}, long_stream) as (gateway, _):
        status, _, body = ask(gateway, stream=True, max_tokens=1_000)
        assert status == 200
        assert body.count(b"token ") == WORDS
        assert counts(gateway, "all")[1] == 0


def test_what_comes_in_one_piece_is_made_already_and_is_sent_and_billed(tmp_path: Path) -> None:
    pieces = ROLE + word("token ") * WORDS + STOP + USAGE + DONE
    counters = SharedCounters()
    pot = Pot("one", Rule("The budget", 1, STOP_STREAM), Payers(), Calendar("day", "UTC"), counters)
    spending = pot.spending(1)
    spending.load(0, 1)
    observer = StreamBudget(BudgetReservation(0, (spending,)), counters, 1, 0, OutputSizes(), 1_000, 1)
    observer.data(pieces)
    with pytest.raises(BudgetExceeded):
        observer.data(pieces)
