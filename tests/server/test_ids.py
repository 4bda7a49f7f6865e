"""Request ids."""

import re

from proxy.server.ids import new_request_id


def test_an_id_has_the_form_that_rows_and_answers_show() -> None:
    assert re.fullmatch(r"req_[0-9a-f]{32}", new_request_id())


def test_no_two_are_the_same() -> None:
    assert len({new_request_id() for _ in range(10_000)}) == 10_000
