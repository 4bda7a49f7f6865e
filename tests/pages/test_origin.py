"""Where a page is, and where a form comes from."""

from typing import Any

import pytest

from proxy.pages.origin import origin_of, same_origin


def scope(**headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"scheme": "http", "headers": pairs, "server": ("10.0.0.1", 8080)}


@pytest.mark.parametrize("host", ["ai.example.com", "127.0.0.1:8080", "[::1]:8080"])
def test_the_origin_is_what_the_request_names(host: str) -> None:
    assert origin_of(scope(host=host), "") == f"http://{host}"


@pytest.mark.parametrize("host", ["", "a b", 'x"><script>', "x/y", "a:b:c"])
def test_what_is_no_host_is_not_repeated(host: str) -> None:
    assert origin_of(scope(host=host), "") == "http://10.0.0.1:8080"


def test_the_setting_outranks_the_request() -> None:
    assert origin_of(scope(host="other"), "https://ai.example.com/") == "https://ai.example.com"


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"host": "a:1", "origin": "http://a:1"}, True),
        ({"host": "a:1", "origin": "http://b:1"}, False),
        ({"host": "a:1", "origin": "null"}, False),
        ({"host": "a:1"}, True),
    ],
)
def test_a_form_comes_from_the_same_site(headers: dict[str, str], same: bool) -> None:
    assert same_origin(scope(**headers)) is same


def test_a_proxy_may_write_another_host() -> None:
    there = scope(host="backend:8080", origin="https://ai.example.com")
    assert same_origin(there, "https://ai.example.com/")
    assert not same_origin(there, "https://other.example.com")
    assert not same_origin(there)
