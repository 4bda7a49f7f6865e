"""Templates: every value is escaped."""

import pytest
from jinja2 import UndefinedError

from proxy.errors import InvalidRequest
from proxy.pages.static import StaticFiles
from proxy.pages.templates import Templates


def test_a_value_is_escaped() -> None:
    page = Templates(StaticFiles()).page("error.html", 404, error=InvalidRequest("<script>"), id='"')
    assert (page.status_code, b"&lt;script&gt;" in page.body, b"<script>" in page.body) == (404, True, False)


def test_a_value_that_is_missing_is_a_fault() -> None:
    with pytest.raises(UndefinedError):
        Templates(StaticFiles()).render("error.html")
