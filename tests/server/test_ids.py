"""Request ids."""

import re
import time

import pytest

from proxy.server.ids import new_request_id


def test_an_id_has_the_form_that_rows_and_answers_show() -> None:
    assert re.fullmatch(r"req_[0-9a-f]{32}", new_request_id())


def test_no_two_are_the_same() -> None:
    assert len({new_request_id() for _ in range(10_000)}) == 10_000


def test_ids_begin_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_795_170_600_000_000_000
    ids = []
    for seconds in (0, 1, 3_600, 10**8):
        monkeypatch.setattr(time, "time_ns", lambda seconds=seconds: now + seconds * 10**9)
        ids.append(new_request_id())
    assert ids == sorted(ids)
    assert {len(one) for one in ids} == {36}
