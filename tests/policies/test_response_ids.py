"""ResponseIdCapture: the id in a response, JSON or events, is recorded once and before its bytes are sent on."""

import json
from typing import Any

import pytest

from proxy.exchange.interfaces import ResponseHead
from proxy.ledger.record import OwnershipRecord
from proxy.policies.response_ids import ResponseIdCapture


class Owners:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.seen: list[OwnershipRecord] = []

    def record(self, owned: OwnershipRecord) -> bool:
        self.seen.append(owned)
        return True


def capture(owners: Any, *, events: bool) -> ResponseIdCapture:
    found = ResponseIdCapture(owners, "key_1", "response", "core", 65_536)
    found.begin(ResponseHead(200, b"", events, "vendor", "vendor-model"))
    return found


BODY = json.dumps({"metadata": {"id": "resp_inner"}, "id": "resp_1", "output": []}).encode()
EVENT = b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1"}}\n\n'


@pytest.mark.parametrize(("data", "events"), [(BODY, False), (EVENT, True)])
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_the_id_is_recorded_once_however_the_bytes_are_cut(data: bytes, events: bool, size: int) -> None:
    owners = Owners()
    observer = capture(owners, events=events)
    for _ in range(2):
        for at in range(0, len(data), size):
            observer.data(data[at : at + size])
    (owned,) = owners.seen
    assert (owned.id, owned.kind, owned.key) == ("resp_1", "response", "key_1")
    assert (owned.upstream, owned.alias, owned.model) == ("vendor", "core", "vendor-model")


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b'{"id":"../other","output":[]}', False),
        (b'{"id":5}', False),
        (b'data: {"id":"resp_1"}\n\n', True),
        (b"data: not json\n\n", True),
    ],
)
def test_what_is_no_id_is_not_recorded(data: bytes, events: bool) -> None:
    owners = Owners()
    capture(owners, events=events).data(data)
    assert owners.seen == []
