"""The OpenAPI document of what clients call, at `/openapi.json`: made once for each configuration."""

import asyncio
import gzip
import hashlib
from http import HTTPStatus
from typing import Final

import orjson
from starlette.responses import Response

from proxy.pages.documentation.openapi.document import client_document
from proxy.pages.request import Page, PageRequest
from proxy.pages.services import PageServices

_HEADERS: Final = {"cache-control": "public, max-age=60", "vary": "Accept-Encoding"}


async def show(services: PageServices, request: PageRequest) -> Response:
    """The document; nothing but its ETag to a reader that has it already."""
    config = services.config
    if services.document is None or services.document[0] is not config:
        services.document = config, await asyncio.to_thread(client_document, config, "")
    body = orjson.dumps({**services.document[1], "servers": [{"url": request.origin}]})
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**_HEADERS, "etag": f"W/{etag}"}
    if etag in (request.header(b"if-none-match") or ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if "gzip" in (request.header(b"accept-encoding") or ""):
        body = await asyncio.to_thread(gzip.compress, body, 6)
        headers["content-encoding"] = "gzip"
    return Response(body, headers=headers, media_type="application/json")


ROWS: Final = (Page("GET", "/openapi.json", show, "The OpenAPI document of what clients call.", "docs"),)
