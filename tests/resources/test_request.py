"""A request for a resource: what it is about, and what the journal knows of its calls."""

from types import SimpleNamespace
from typing import Any, cast

from proxy.ledger.record import OwnershipRecord
from proxy.resources.request import ResourceRequest
from proxy.resources.spec import ResourceRow
from proxy.wire.schemas import Body

ROW = ResourceRow("GET", "/v1/threads/{thread_id}/runs/{run_id}", "Show a run.")


def request() -> ResourceRequest:
    key = SimpleNamespace(id="key_1")
    body = Body({}, "", stream=False, wants_usage=False)
    context = SimpleNamespace(id="req_1", key=key, started=5, arrived=0.0, body=body)
    return ResourceRequest(cast("Any", context), ROW, {"thread_id": "t", "run_id": "r"}, cast("Any", None))


def test_a_request_is_about_the_last_resource_in_its_path() -> None:
    made = request()
    assert made.record is None
    made.records["thread_id"] = OwnershipRecord("t", "thread", "key_1", "vendor", 0)
    made.records["run_id"] = run = OwnershipRecord("r", "thread.run", "key_1", "vendor", 0)
    assert made.record is run


def test_each_call_is_journaled_with_its_number_and_where_it_goes() -> None:
    made = request()
    made.alias, made.model, made.streams = "core", "vendor-model", True
    made.target = cast("Any", SimpleNamespace(pool=SimpleNamespace(name="vendor")))
    first, second = made.opened(), made.opened()
    assert (first.attempt, second.attempt) == (1, 2)
    assert (first.upstream, first.upstream_model, first.alias, first.stream) == ("vendor", "vendor-model", "core", True)
    assert (first.endpoint, first.key) == (ROW.path, "key_1")


def test_waiting_for_the_upstream_is_counted() -> None:
    made = request()
    with made.calls.waiting():
        pass
    assert made.calls.waited > 0
