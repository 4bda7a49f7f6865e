"""Static files: kept for good under a name that follows from their bytes."""

import asyncio
import gzip

import pytest
from starlette.responses import Response

from proxy.errors import InvalidRequest
from proxy.pages.static import StaticFiles


def get(files: StaticFiles, path: str, **headers: str) -> Response:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return asyncio.run(files.response(path, sent))


def test_a_file_is_at_the_url_of_its_bytes() -> None:
    files = StaticFiles()
    url = files.url("site.css")
    response = get(files, url)
    assert url.startswith("/static/site.")
    assert response.headers["content-type"] == "text/css; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_the_name_of_a_file_is_its_etag_too() -> None:
    files = StaticFiles()
    url = files.url("site.css")
    etag = get(files, url).headers["etag"]
    assert etag.strip('"') == url.split(".")[1]
    assert get(files, url, if_none_match=etag).status_code == 304


def test_a_file_is_compressed_once() -> None:
    files = StaticFiles()
    first, second = (get(files, files.url("vendor/uplot.js"), accept_encoding="gzip") for _ in range(2))
    assert first.body is second.body
    assert gzip.decompress(first.body) == get(files, files.url("vendor/uplot.js")).body


@pytest.mark.parametrize(
    "path", ["/static/site.css", "/static/../site.py", "/static/", "/static/site.000000000000.css"]
)
def test_any_other_path_has_none(path: str) -> None:
    with pytest.raises(InvalidRequest):
        get(StaticFiles(), path)
