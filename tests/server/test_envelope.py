"""The error envelope of responses that no endpoint makes."""

import json
from datetime import UTC, datetime, timedelta

from proxy.server.envelope import envelope, timestamp


def test_it_is_openais_with_the_request_and_the_time_beside_it() -> None:
    document = json.loads(envelope('a "quoted" message', "invalid_request_error", None, "req_1"))
    assert document["error"] == {
        "message": 'a "quoted" message',
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert document["request_id"] == "req_1"
    assert list(document) == ["error", "request_id", "timestamp"]


def test_the_time_is_utc_in_milliseconds() -> None:
    text = timestamp()
    assert text.endswith("Z")
    assert len(text) == len("2026-01-01T00:00:00.000Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(text)) < timedelta(minutes=1)
