"""The order of a connection's requests, and the bytes that wait."""

from proxy.server.cycle import COMPLETE, ClientConnection, RequestCycle
from proxy.server.head_cache import Head
from proxy.server.pipeline import MAX_QUEUED_BYTES, RequestPipeline
from proxy.server.request_body import RequestBody

CONNECTION = ClientConnection()


def a_request() -> RequestCycle:
    return RequestCycle(CONNECTION, Head("POST", "1.1", b"/", []), RequestBody(), None, True)


def serving_one_of(count: int) -> RequestPipeline:
    pipeline = RequestPipeline()
    pipeline.serving = a_request()
    for _ in range(count - 1):
        pipeline.reading = a_request()
        pipeline.waiting.append(pipeline.reading)
        pipeline.queue(pipeline.reading, 10)
    return pipeline


def test_a_request_waits_until_the_one_before_has_its_response() -> None:
    pipeline = RequestPipeline()
    assert (pipeline.is_behind, pipeline.is_reading_body) == (False, False)
    pipeline.reading = pipeline.serving = a_request()
    assert (pipeline.is_behind, pipeline.is_reading_body) == (True, True)
    pipeline.serving.state = COMPLETE
    pipeline.serving.body.complete = True
    assert (pipeline.is_behind, pipeline.is_reading_body) == (False, False)


def test_the_oldest_is_next_and_its_bytes_wait_no_more() -> None:
    pipeline = serving_one_of(3)
    oldest, newest = pipeline.waiting
    assert pipeline.next() is oldest
    assert (pipeline.serving, list(pipeline.waiting), pipeline.queued_bytes) == (oldest, [newest], 10)


def test_the_newest_may_be_dropped() -> None:
    pipeline = serving_one_of(3)
    oldest, _ = pipeline.waiting
    pipeline.drop_newest()
    assert (list(pipeline.waiting), pipeline.queued_bytes) == ([oldest], 10)


def test_all_that_wait_share_one_bound() -> None:
    pipeline = serving_one_of(3)
    assert not pipeline.is_too_large
    for cycle in pipeline.waiting:
        pipeline.queue(cycle, MAX_QUEUED_BYTES // 2)
    assert pipeline.is_too_large
