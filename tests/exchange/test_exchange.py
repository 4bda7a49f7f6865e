"""The exchange alone, between an origin and a downstream that are scripted: order, honest endings, one settlement."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import InvalidRequest, UpstreamFailed
from proxy.exchange.exchange import Exchange
from proxy.exchange.interfaces import COMMITTED, SETTLED, WAITING, ResponseHead, ResponseObserver
from proxy.ledger.record import UsageRecord
from tests.exchange.doubles import Bench, ScriptedOrigin, bench, context_of

JSON = b"content-type: application/json\r\n"
SSE = b"content-type: text/event-stream\r\n"
EVENT = b'data: {"a":1}\n\n'


class Notes(ResponseObserver):
    """Notes what it sees; refuses a body with a bad word."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def begin(self, head: ResponseHead) -> None:
        self.seen.append((head.status, head.is_events, head.provider, head.model))

    def data(self, data: bytes) -> None:
        if b"bad" in data:
            raise InvalidRequest("That word is not allowed.", code="guardrail")
        self.seen.append(data)

    def end(self, final: UsageRecord, whole: bool) -> None:
        self.seen.append((final.outcome, whole))


def whole(exchange: Exchange) -> None:
    exchange.finish(200, JSON, False, b"{}")


def begun(exchange: Exchange) -> None:
    exchange.begin(200, SSE, True)
    exchange.write(EVENT)


def streamed(exchange: Exchange) -> None:
    begun(exchange)
    exchange.finish(200, b"", True, b"data: [DONE]\n\n")


@pytest.fixture
def benches(tmp_path: Path) -> object:
    with bench(tmp_path) as made:
        yield made


def test_a_whole_response_has_its_length_and_its_bill(benches: Bench) -> None:
    run = benches.script(context_of(stream=False), whole)
    assert (run.downstream.status, run.downstream.length, run.downstream.body) == (200, 2, b"{}")
    assert run.downstream.lines.startswith(JSON)
    assert b"X-Prism-Model-Used: core\r\n" in run.downstream.lines
    assert b"X-Prism-Cost: 0.000000000\r\n" in run.downstream.lines
    assert benches.outcomes == [("complete", 200)]
    assert benches.settled[0].bytes_out == 2
    assert run.exchange.state == SETTLED


def test_a_stream_is_sent_as_it_is_written(benches: Bench) -> None:
    run = benches.script(context_of(), streamed)
    assert run.downstream.writes == [EVENT, b"data: [DONE]\n\n"]
    assert (run.downstream.length, run.downstream.ended) == (None, "whole")
    assert b"x-accel-buffering: no\r\n" in run.downstream.lines
    assert benches.outcomes == [("complete", 200)]


def test_a_failure_before_the_first_byte_is_an_error_response(benches: Bench) -> None:
    run = benches.script(context_of(), lambda exchange: exchange.fail(UpstreamFailed("It failed.")))
    assert run.downstream.status == 502
    assert json.loads(run.downstream.body)["error"]["message"] == "It failed."
    assert benches.outcomes == [("upstream_error", 502)]


def test_a_failure_after_it_is_an_error_event_and_an_abort(benches: Bench) -> None:
    def script(exchange: Exchange) -> None:
        begun(exchange)
        exchange.fail(UpstreamFailed("It failed."))

    run = benches.script(context_of(), script)
    assert b"It failed." in run.downstream.writes[-1]
    assert run.downstream.ended == "aborted"
    assert benches.outcomes == [("upstream_cut", 200)]


def test_a_refusal_of_the_origin_s_is_sent_as_it_is(benches: Bench) -> None:
    error = UpstreamFailed("no")
    run = benches.script(
        context_of(stream=False), lambda exchange: exchange.refuse(422, JSON, b'{"no":1}', error, "upstream_422")
    )
    assert (run.downstream.status, run.downstream.body) == (422, b'{"no":1}')
    assert benches.settled[0].error_code == "upstream_422"


def test_whatever_comes_after_the_settlement_changes_nothing(benches: Bench) -> None:
    run = benches.script(context_of(stream=False), whole)
    run.exchange.finish(200, JSON, False, b"{}")
    run.exchange.fail(UpstreamFailed("late"))
    run.exchange.cancel(UpstreamFailed("late"))
    run.exchange.client_disconnected()
    assert len(benches.settled) == 1
    assert run.downstream.body == b"{}"


def test_a_client_that_leaves_is_settled_at_once_unless_the_origin_reads_on(benches: Bench) -> None:
    run = benches.script(context_of(), begun)
    run.exchange.client_disconnected()
    assert benches.outcomes == [("client_closed", 200)]
    run = benches.script(context_of(), begun, reads_on=True)
    run.exchange.client_disconnected()
    assert len(benches.settled) == 1
    run.exchange.write(EVENT)
    run.exchange.settle_disconnected()
    assert benches.outcomes[1] == ("client_closed", 200)
    assert run.downstream.writes == [EVENT]


def test_a_client_that_leaves_before_the_response_has_none(benches: Bench) -> None:
    run = benches.script(context_of(), lambda exchange: None)
    assert run.exchange.state == WAITING
    run.exchange.client_disconnected()
    assert benches.outcomes == [("client_closed", 499)]


def test_backpressure_reaches_the_origin(benches: Bench) -> None:
    run = benches.script(context_of(), begun)
    run.exchange.pause()
    assert run.exchange.paused
    run.exchange.resume()
    assert run.calls == ["pause", "resume"]


def test_a_cancel_from_outside_stops_the_origin_and_sends_the_error(benches: Bench) -> None:
    run = benches.script(context_of(), begun)
    assert run.exchange.state == COMMITTED
    run.exchange.cancel(InvalidRequest("The form is broken."))
    assert run.calls == ["cancel", "final"]
    assert b"The form is broken." in run.downstream.body
    assert run.downstream.ended == "aborted"


def test_a_fault_inside_is_a_500_with_a_bill(benches: Bench) -> None:
    run = benches.script(context_of(), lambda exchange: exchange.crash(KeyError("fault")))
    assert (run.downstream.status, run.downstream.ended) == (500, "whole")
    assert run.calls == ["cancel", "final"]
    assert benches.outcomes == [("refused", 500)]


def raise_fault(exchange: Exchange) -> None:
    raise KeyError("fault")


def begin_and_raise(exchange: Exchange) -> None:
    begun(exchange)
    raise KeyError("fault")


def finish_and_raise(exchange: Exchange) -> None:
    whole(exchange)
    raise KeyError("fault")


def raise_error(exchange: Exchange) -> None:
    raise InvalidRequest("Not so.", code="not_so")


@pytest.mark.parametrize(
    ("script", "status", "ended", "outcome"),
    [
        (raise_fault, 500, "whole", "refused"),
        (raise_error, 400, "whole", "refused"),
        (begin_and_raise, 200, "aborted", "refused"),
        (finish_and_raise, 200, "whole", "complete"),
    ],
)
def test_an_origin_that_raises_as_it_starts_is_settled_once(
    benches: Bench, script: Any, status: int, ended: str, outcome: str
) -> None:
    down = benches.script(context_of(), script).downstream
    assert (down.status, down.ended) == (status, ended)
    assert benches.outcomes == [(outcome, status)]


class Unable(ScriptedOrigin):
    """Raises wherever it is called once it has begun."""

    def resume(self) -> None:
        raise KeyError("resume")

    def client_left(self, stalled: bool) -> bool:
        raise KeyError("client_left")

    def cancel(self) -> None:
        raise KeyError("cancel")


class Unbillable(ScriptedOrigin):
    def final(self, *_: Any) -> UsageRecord:
        raise KeyError("final")


@pytest.mark.parametrize("call", ["resume", "client_disconnected", "interrupt"])
def test_an_origin_that_raises_when_it_is_called_is_settled_once(benches: Bench, call: str) -> None:
    context = context_of()
    exchange = benches.run(context, Unable(context, begun)).exchange
    getattr(exchange, call)()
    exchange.client_disconnected()
    assert len(benches.settled) == 1


def test_a_request_whose_bill_cannot_be_made_is_settled_with_an_unknown_cost(benches: Bench) -> None:
    notes = Notes()
    context = context_of(False, notes)
    down = benches.run(context, Unbillable(context, whole)).downstream
    assert (down.status, down.ended) == (500, "whole")
    assert f"x-request-id: {context.id}\r\n".encode() in down.lines
    (final,) = benches.settled
    assert (final.outcome, final.error_code, final.cost) == ("interrupted", "internal_error", None)
    assert notes.seen[-1] == ("interrupted", False)


class Faulty(Notes):
    """An observer with a fault of its own."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def begin(self, head: ResponseHead) -> None:
        super().begin(head)
        if self._where == "begin":
            raise KeyError("begin")

    def data(self, data: bytes) -> None:
        super().data(data)
        if self._where == "data":
            raise KeyError("data")

    def end(self, final: UsageRecord, whole: bool) -> None:
        super().end(final, whole)
        if self._where == "end":
            raise KeyError("end")


@pytest.mark.parametrize("where", ["begin", "data", "end"])
@pytest.mark.parametrize("script", [whole, streamed])
def test_the_fault_of_an_observer_ends_its_request_and_not_the_other_observers(
    benches: Bench, script: Any, where: str
) -> None:
    faulty, other = Faulty(where), Notes()
    down = benches.script(context_of(True, faulty, other), script).downstream
    (final,) = benches.settled
    fine = where == "end"
    assert final.outcome == ("complete" if fine else "refused")
    assert down.ended == ("whole" if fine or not (script is streamed and where == "data") else "aborted")
    assert faulty.seen[-1] == other.seen[-1] == (final.outcome, fine)


def test_observers_see_the_head_the_data_and_the_end(benches: Bench) -> None:
    notes = Notes()
    benches.script(context_of(True, notes), streamed)
    assert notes.seen == [(200, True, "vendor", "vendor-model"), EVENT, b"data: [DONE]\n\n", ("complete", True)]


def test_observers_see_no_error_of_the_gateway_s_but_the_end(benches: Bench) -> None:
    notes = Notes()
    benches.script(context_of(True, notes), lambda exchange: exchange.fail(UpstreamFailed("no")))
    assert notes.seen == [("upstream_error", False)]


def test_an_observer_that_refuses_a_whole_response_replaces_it(benches: Bench) -> None:
    run = benches.script(context_of(False, Notes()), lambda exchange: exchange.finish(200, JSON, False, b"bad"))
    assert run.downstream.status == 400
    assert json.loads(run.downstream.body)["error"]["code"] == "guardrail"
    assert run.calls == ["cancel", "final"]
    assert benches.outcomes == [("refused", 400)]


def test_an_observer_that_refuses_a_part_aborts_the_stream(benches: Bench) -> None:
    notes = Notes()

    def script(exchange: Exchange) -> None:
        begun(exchange)
        exchange.write(b"data: bad\n\n")
        exchange.write(EVENT)

    run = benches.script(context_of(True, notes), script)
    assert b"data: bad" not in run.downstream.body
    assert b"That word is not allowed." in run.downstream.writes[-1]
    assert (run.downstream.ended, run.calls) == ("aborted", ["cancel", "final"])
    assert notes.seen[-1] == (benches.settled[0].outcome, False)


def test_observers_go_on_seeing_what_is_read_for_a_client_that_is_gone(benches: Bench) -> None:
    notes = Notes()
    run = benches.script(context_of(True, notes), begun, reads_on=True)
    run.exchange.client_disconnected()
    run.exchange.write(EVENT)
    run.exchange.finish(200, b"", True, b"last")
    assert notes.seen[1:] == [EVENT, EVENT, b"last", ("client_closed", True)]


def test_a_heartbeat_takes_the_head_along_and_leaves_the_attempt_open(benches: Bench) -> None:
    context = context_of()
    run = benches.script(context, lambda exchange: None)
    run.exchange.heartbeat(1.0, True)
    run.exchange.heartbeat(1e9, True)
    assert run.downstream.body == context.dialect.heartbeat
    assert run.exchange.state not in (WAITING, COMMITTED)
    streamed(run.exchange)
    assert run.downstream.ended == "whole"


def test_an_origin_may_respond_to_a_request_without_an_alias(benches: Bench) -> None:
    context = context_of(False)
    context.alias = None
    down = benches.script(context, whole).downstream
    assert (down.status, down.ended) == (200, "whole")
    assert b"X-Prism-Model-Used: none\r\n" in down.lines


# the time of an origin that does not watch it itself


def waiting(exchange: Exchange) -> None:
    """It responds later, or never."""


def members(benches: Bench) -> int:
    return len(benches.services.deadlines)


def test_an_origin_without_a_timeout_has_that_of_its_alias(benches: Bench) -> None:
    context = context_of(stream=False)
    assert context.alias is not None
    run = benches.script(context, waiting)
    assert members(benches) == 1
    assert not run.exchange.overdue(context.arrived + context.alias.total_timeout - 1)
    assert run.exchange.overdue(context.arrived + context.alias.total_timeout + 1)
    run.exchange.expire()
    assert (run.downstream.status, benches.outcomes) == (504, [("timeout", 504)])
    assert members(benches) == 0


def test_a_client_that_says_how_long_it_waits_is_sent_an_error_before(benches: Bench) -> None:
    context = context_of(stream=False)
    context.patience = 4.0
    run = benches.script(context, waiting)
    assert not run.exchange.overdue(context.arrived + 3.4)
    assert run.exchange.overdue(context.arrived + 3.6)


def test_a_shutdown_ends_an_origin_that_is_at_work(benches: Bench) -> None:
    run = benches.script(context_of(), begun)
    benches.services.deadlines.interrupt_all()
    assert b"gateway_shutdown" in run.downstream.body
    assert benches.outcomes == [("gateway_shutdown", 200)]
    assert members(benches) == 0


def test_a_response_that_is_there_leaves_nothing_in_the_sweeper(benches: Bench) -> None:
    benches.script(context_of(), streamed)
    assert members(benches) == 0


def test_a_client_that_waits_for_such_an_origin_gets_heartbeats_until_the_response_begins(benches: Bench) -> None:
    context = context_of()
    assert context.alias is not None
    context.alias = dataclasses.replace(context.alias, heartbeat_interval=1.0)
    run = benches.script(context, waiting)
    for seconds in (0.0, 0.9, 1.1):
        assert not run.exchange.overdue(context.arrived + seconds)
    assert (run.downstream.status, run.downstream.writes) == (200, [b": ping\n"])
    begun(run.exchange)
    assert not run.exchange.overdue(context.arrived + 9.0)
    assert run.downstream.writes == [b": ping\n", EVENT]
