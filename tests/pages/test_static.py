"""Static files: kept for good under a name that follows from their bytes."""

import pytest

from proxy.errors import InvalidRequest
from proxy.pages.static import StaticFiles


def test_a_file_is_at_the_url_of_its_bytes() -> None:
    files = StaticFiles()
    url = files.url("site.css")
    response = files.response(url)
    assert url.startswith("/static/site.")
    assert response.headers["content-type"] == "text/css; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path", ["/static/site.css", "/static/../site.py", "/static/", "/static/site.000000000000.css"]
)
def test_any_other_path_has_none(path: str) -> None:
    with pytest.raises(InvalidRequest):
        StaticFiles().response(path)
