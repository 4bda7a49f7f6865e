"""An upstream that keeps failing is asked last: after what, for how long, and by whose requests it comes back."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.exchange.samples import (
    HELLO,
    ROLE,
    STREAM,
    ask,
    begun,
    question,
    refusing_url,
    serving,
    serving_two,
    wait_for_pool,
    wait_for_settled,
    wait_until,
)
from tests.exchange.test_upstream_origin import error
from tests.fakes import Close, Hang, RecordedRequest, Reset, ScriptedUpstream, Step, sse_answer
from tests.serving import ALIAS, RunningGateway, simple_config

#: What counts, with a setting that makes it quick.
FAILURES: dict[str, tuple[Sequence[Step], Mapping[str, Any]]] = {
    "500": (error(500), {}),
    "503": (error(503), {}),
    "529": (error(529), {}),
    "520": (error(520), {}),
    "reset": ([Reset()], {}),
    "closed": ([Close()], {}),
    "silence": ([Hang()], {"first_byte_timeout": 0.3}),
    "silence after the head": ([*begun(), Hang()], {"idle_timeout": 0.3}),
}
#: What does not.
NO_FAILURES: dict[str, Sequence[Step]] = {
    "400": error(400),
    "401": error(401),
    "404": error(404),
    "408": error(408),
    "429": error(429),
    "an error in a 200": sse_answer(b'data: {"error":{"message":"no"}}\n\n'),
}


def is_out(gateway: RunningGateway, name: str = "vendor1") -> bool:
    """Whether an upstream is ejected."""
    return gateway.call(lambda running: running.pools[name].health.ejected)


def asked(gateway: RunningGateway, count: int) -> list[int]:
    """The statuses of so many requests, one after the other."""
    return [ask(gateway)[0].status for _ in range(count)]


@contextmanager
def failing_first(
    tmp_path: Path, steps: Sequence[Step], **settings: Any
) -> Iterator[tuple[RunningGateway, ScriptedUpstream, ScriptedUpstream]]:
    """A gateway whose first upstream answers so, and whose second one well."""
    with serving_two(tmp_path, **settings) as (gateway, first, second):
        first.handler = lambda _: steps
        second.handler = lambda _: sse_answer(STREAM)
        yield gateway, first, second


@pytest.mark.parametrize(("steps", "settings"), FAILURES.values(), ids=FAILURES.keys())
def test_an_upstream_that_fails_five_times_in_a_row_is_not_asked_while_another_is_there(
    tmp_path: Path, steps: Sequence[Step], settings: Mapping[str, Any]
) -> None:
    with failing_first(tmp_path, steps, upstream=settings) as (gateway, first, _):
        assert asked(gateway, 10) == [200] * 10
        assert is_out(gateway)
        assert len(first.requests) == 5
        assert gateway.rows()[-1].attempts == 1
        assert ask(gateway)[0].header("x-prism-fallback-used") == "true"


def test_an_upstream_that_cannot_be_reached_is_ejected(tmp_path: Path) -> None:
    with (
        refusing_url() as unheard,
        ScriptedUpstream(lambda _: sse_answer(STREAM)) as second,
        RunningGateway(simple_config(tmp_path, unheard, second.base_url)) as gateway,
    ):
        assert asked(gateway, 6) == [200] * 6
        assert [row.attempts for row in gateway.rows()] == [2] * 5 + [1]


def test_streams_that_are_cut_count_too(tmp_path: Path) -> None:
    with failing_first(tmp_path, [*begun(ROLE, HELLO), Reset()]) as (gateway, first, _):
        asked(gateway, 6)
        assert len(first.requests) == 5


@pytest.mark.parametrize("steps", NO_FAILURES.values(), ids=NO_FAILURES.keys())
def test_what_may_be_the_request_s_own_fault_ejects_nobody(tmp_path: Path, steps: Sequence[Step]) -> None:
    with failing_first(tmp_path, steps) as (gateway, first, _):
        asked(gateway, 8)
        assert not is_out(gateway)
        assert len(first.requests) == 8


def test_clients_that_leave_eject_nobody(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.handler = lambda _: [Hang()]
        for number in range(6):
            with gateway.client() as client:
                gateway.chat(client, question())
                upstream.wait_for_requests(number + 1)
        wait_for_settled(gateway, 6)
        assert not is_out(gateway)


def test_when_all_are_ejected_the_first_is_asked_all_the_same(tmp_path: Path) -> None:
    with failing_first(tmp_path, error(503), server={"max_ejection_percent": 100}) as (gateway, first, second):
        second.handler = lambda _: error(503)
        asked(gateway, 5)
        assert (is_out(gateway), is_out(gateway, "vendor2")) == (True, True)
        first.handler = lambda _: sse_answer(STREAM)
        assert asked(gateway, 2) == [200, 200]
        assert (len(first.requests), len(second.requests)) == (7, 5)
        assert not is_out(gateway)


def test_an_ejected_upstream_is_still_asked_after_the_others_have_failed(tmp_path: Path) -> None:
    with failing_first(tmp_path, error(503)) as (gateway, first, second):
        asked(gateway, 5)
        first.handler = lambda _: sse_answer(STREAM)
        second.script(error(503))
        answer, _ = ask(gateway)
        assert (answer.status, len(second.requests), len(first.requests)) == (200, 6, 6)


def test_by_default_one_upstream_of_a_few_is_ejected_at_once(tmp_path: Path) -> None:
    with failing_first(tmp_path, error(503)) as (gateway, _, second):
        second.handler = lambda _: error(503)
        asked(gateway, 12)
        assert (is_out(gateway), is_out(gateway, "vendor2")) == (True, False)


def test_an_ejected_upstream_is_ejected_for_all_aliases(tmp_path: Path) -> None:
    with ScriptedUpstream(lambda _: error(503)) as first, ScriptedUpstream(lambda _: sse_answer(STREAM)) as second:
        config = simple_config(tmp_path, first.base_url, second.base_url)
        other = msgspec.structs.replace(config.models[ALIAS], targets=["vendor1/other", "vendor2/other"])
        config = msgspec.structs.replace(config, models={**config.models, "other": other})
        with RunningGateway(config) as gateway:
            asked(gateway, 5)
            assert ask(gateway, {**question(), "model": "other"})[0].status == 200
            assert len(first.requests) == 5


def test_after_its_time_one_request_tries_it_and_brings_it_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"base_ejection_time": 0.05}
    with (
        caplog.at_level(logging.WARNING),
        failing_first(tmp_path, error(503), upstream=settings) as (gateway, first, _),
    ):
        asked(gateway, 5)
        first.handler = lambda _: sse_answer(STREAM)
        wait_until(lambda: ask(gateway)[0].header("x-prism-fallback-used") is None, "the first one's return")
        assert not is_out(gateway)
        assert len(first.requests) == 6
    said = [record.getMessage() for record in caplog.records if record.name == "proxy.exchange.upstream_origin"]
    assert said == [
        "upstream vendor1 is ejected for 0 seconds: other targets are tried first",
        "upstream vendor1 responds again",
    ]


def test_a_try_that_fails_is_mended_and_the_others_do_not_try(tmp_path: Path) -> None:
    settings = {"base_ejection_time": 0.05, "ejection_interval": 60.0}
    with failing_first(tmp_path, error(503), upstream=settings) as (gateway, first, _):
        asked(gateway, 5)
        first.handler = lambda _: [Hang()]
        health = gateway.gateway.pools["vendor1"].health
        wait_until(lambda: gateway.call(lambda _: health.may_try(time.monotonic())), "the end of the ejection")
        with gateway.client() as client:
            gateway.chat(client, question())
            first.wait_for_requests(6)
            assert asked(gateway, 3) == [200] * 3
            assert len(first.requests) == 6


def test_an_ejected_upstream_that_is_asked_for_want_of_others_gets_no_retries(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.handler = lambda _: error(500)
        asked(gateway, 8)
        # Each of the first two is repeated, and the third one's first attempt ejects.
        assert [row.attempts for row in gateway.rows()] == [2, 2, 1, 1, 1, 1, 1, 1]


def test_ejection_can_be_switched_off(tmp_path: Path) -> None:
    settings = {"consecutive_5xx": 0, "consecutive_gateway_failures": 0}
    with failing_first(tmp_path, error(503), upstream=settings) as (gateway, first, _):
        asked(gateway, 8)
        assert len(first.requests) == 8


def test_the_first_byte_of_an_answer_brings_it_back_and_not_only_the_last(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(error(503), times=5)
        asked(gateway, 5)
        assert is_out(gateway)
        upstream.script([*begun(ROLE), Hang()])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            assert not is_out(gateway)


def test_an_idle_connection_that_is_closed_as_it_is_used_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def closing(request: RecordedRequest) -> Sequence[Step]:
        return [Close()] if request.connection == 1 and len(upstream.requests) > 1 else sse_answer(STREAM)

    with ScriptedUpstream(closing) as upstream:
        config = simple_config(tmp_path, upstream.base_url, upstream={"consecutive_gateway_failures": 1})
        with RunningGateway(config) as gateway:
            assert asked(gateway, 1) == [200]
            wait_for_pool(gateway, size=1, idle=1)
            assert asked(gateway, 1) == [200]
            assert len(upstream.requests) == 3
    assert not [record for record in caplog.records if record.name == "proxy.exchange.upstream_origin"]
