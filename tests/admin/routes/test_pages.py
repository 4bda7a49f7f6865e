"""Pages, times, money and versions as the routes have them."""

import pytest

from proxy.admin.request import AdminRequest, NoQuery
from proxy.admin.routes.pages import expected_version, is_id, usd, utc
from proxy.errors import InvalidRequest


def version(*headers: tuple[bytes, bytes]) -> int | None:
    return expected_version(AdminRequest({}, NoQuery(), None, list(headers), "admin:x"))


def test_versions_are_those_of_etags() -> None:
    assert version() is None
    assert version((b"if-match", b"*")) is None
    assert version((b"if-match", b'"12"')) == version((b"if-match", b'W/"12"')) == version((b"if-match", b"12")) == 12
    assert version((b"if-none-match", b"*")) == 0


@pytest.mark.parametrize(
    "header", [(b"if-match", b'"a"'), (b"if-match", b'"0"'), (b"if-match", b""), (b"if-none-match", b'"1"')]
)
def test_what_is_no_version_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(InvalidRequest):
        version(header)


def test_money_is_exact() -> None:
    amounts = [0, 1, -1, 1_500_000_000, 25_000_000_001, 10**18]
    assert [usd(nano) for nano in amounts] == [
        "0.00",
        "0.000000001",
        "-0.000000001",
        "1.50",
        "25.000000001",
        "1000000000.00",
    ]
    assert usd(None) is None


def test_times_are_utc() -> None:
    assert (utc(0), utc(None)) == ("1970-01-01T00:00:00Z", None)


@pytest.mark.parametrize(
    ("text", "found"), [("key_0123456789ab", True), ("team_x", False), ("key_0123456789AB", False)]
)
def test_ids_are_known_by_their_form(text: str, found: bool) -> None:
    assert is_id(text) is found
