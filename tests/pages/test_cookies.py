"""The cookie of a session."""

import pytest

from proxy.pages.cookies import cookie_of, token_in


def test_by_https_it_is_of_this_host_alone() -> None:
    assert cookie_of("abc", 60, is_secure=True) == (
        "__Host-prometheus_session=abc; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure"
    )


@pytest.mark.parametrize(
    ("header", "is_secure", "token"),
    [
        (b"a=b; prometheus_session=abc", False, "abc"),
        (b"__Host-prometheus_session=abc; prometheus_session=other", True, "abc"),
        # What another host of the domain, or a page without https, could have set.
        (b"prometheus_session=other", True, ""),
        (b"prometheus_session", False, ""),
        (b"\xff\xfe; =;;", False, ""),
    ],
)
def test_the_token_is_read_from_the_cookie_of_its_name(header: bytes, is_secure: bool, token: str) -> None:
    assert token_in([(b"cookie", header)], is_secure=is_secure) == token
