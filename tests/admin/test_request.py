"""Rows and their paths."""

import pytest

from proxy.admin.request import AdminRequest, NoQuery, Row, ids_of
from proxy.admin.table import ROWS

ROW = Row("GET", "/-/orgs/{id}/config", ROWS[0].handler, "", None)


def test_a_path_matches_whole_and_by_segments() -> None:
    match = ROW.pattern.fullmatch(b"/-/orgs/a%2F..%2Fb/config")
    assert match is not None
    assert ids_of(match) == {"id": "a/../b"}


@pytest.mark.parametrize(
    "path", [b"/-/orgs//config", b"/-/orgs/a/b/config", b"/-/orgs/a/config/", b"/x/-/orgs/a/config"]
)
def test_other_paths_do_not(path: bytes) -> None:
    assert ROW.pattern.fullmatch(path) is None


def test_an_id_that_is_no_utf_8_is_still_an_id() -> None:
    match = ROW.pattern.fullmatch(b"/-/orgs/%ff%00/config")
    assert match is not None
    assert ids_of(match) == {"id": "\N{REPLACEMENT CHARACTER}\x00"}


def test_headers_are_read_by_name() -> None:
    request = AdminRequest({}, NoQuery(), None, [(b"if-match", b'"3"')], "admin:x")
    assert (request.header(b"if-match"), request.header(b"idempotency-key")) == ('"3"', None)
