"""Where a page is, and where a form comes from."""

from typing import Any

import pytest

from proxy.pages.origin import origin_of, own_page, same_origin


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


@pytest.mark.parametrize(
    "page",
    [
        *(
            "/dashboard",
            "/dashboard/keys/key_0a1b",
            "/dashboard/requests/live.sse",
            "/dashboard?period=7d&session=a%2Fb",
        ),
        *("/dashboard/keys?since=7d&x=//evil.example", "/dashboard/sign-in/x_-Y", "/dashboard/requests/req_1.json"),
    ],
)
def test_a_page_of_the_dashboard_may_be_next(page: str) -> None:
    assert own_page(page) == page


@pytest.mark.parametrize(
    "page",
    [
        *("", "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example"),
        *(
            "javascript:alert(1)",
            "data:text/html,x",
            "/v1/models",
            "/dashboardx",
            "/dashboard.evil.example",
            "dashboard",
        ),
        *(
            " /dashboard",
            "/dashboard ",
            "/dashboard\n",
            "/dashboard/\r\nset-cookie: a=b",
            "/dashboard?\r\nset-cookie: a=b",
        ),
        *("/dashboard/../v1/models", "/dashboard/..", "/dashboard/%2e%2e/x", "/dashboard/.%2E/x", "/dashboard/./x"),
        *(
            "/dashboard//evil.example",
            "/dashboard/\\evil",
            "/dashboard\\evil",
            "/dashboard?a=\\",
            "/dashboard@evil.example",
        ),
        *(
            "/%2fevil.example",
            "%2f%2fevil.example",
            "/\t/evil.example",
            "/dashboard/\t/x",
            "/dashboard/é",
            "/dashboard\0",
        ),
        *(
            "/DASHBOARD",
            "/dashboard/" + "a" * 5_000,
            "/dashboard#//evil",
            "http:/dashboard",
            "///dashboard",
            "/dashboard;/x",
        ),
    ],
)
def test_nothing_else_may_be_next(page: str) -> None:
    assert own_page(page) == "/dashboard"
