"""StaticFiles: the styles, scripts and pictures of pages, each under a name that changes with its bytes.

So a browser may keep them for good. They are read once, at the start: no request names a file.
"""

from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Final, NamedTuple

from starlette.responses import Response

from proxy.errors import InvalidRequest
from proxy.pages.delivery import Content, deliver, mark_of
from proxy.wire.headers import Header

PREFIX: Final = "/static/"
_TYPES: Final = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
        ".png": "image/png",
        ".map": "application/json",
    }
)
_FOR_GOOD: Final = "public, max-age=31536000, immutable"


class _File(NamedTuple):
    content: Content
    media_type: str


class StaticFiles:
    """The files of `proxy/pages/static` and the folders in it."""

    def __init__(self) -> None:
        self._urls: dict[str, str] = {}
        self._files: dict[str, _File] = {}
        self._read(resources.files("proxy.pages") / "static", "")

    def _read(self, folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                self._read(entry, f"{prefix}{entry.name}/")
                continue
            stem, dot, ending = entry.name.rpartition(".")
            media_type = _TYPES.get(dot + ending)
            if media_type is not None:
                body = entry.read_bytes()
                mark = mark_of(body)
                url = f"{PREFIX}{prefix}{stem}.{mark}.{ending}"
                self._urls[prefix + entry.name] = url
                self._files[url] = _File(Content(body, mark), media_type)

    def url(self, name: str) -> str:
        """The path of a file by its name below the folder, such as `site.css`."""
        return self._urls[name]

    async def response(self, path: str, headers: Sequence[Header]) -> Response:
        """The file at a path, for a request with these headers. Raises `InvalidRequest` where there is none."""
        found = self._files.get(path)
        if found is None:
            raise InvalidRequest("There is no such file.", status=404, code="unknown_url")
        response = Response(found.content.body, headers={"cache-control": _FOR_GOOD}, media_type=found.media_type)
        await deliver(response, found.content, headers)
        return response
