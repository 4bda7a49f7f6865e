"""The OpenAPI document of what clients call, at `/openapi.json`: made once for each configuration."""

import asyncio
from typing import Final

import orjson
from starlette.responses import Response

from proxy.pages.documentation.openapi.document import client_document
from proxy.pages.request import Page, PageRequest
from proxy.pages.services import PageServices

_HEADERS: Final = {"cache-control": "public, max-age=60"}


async def show(services: PageServices, request: PageRequest) -> Response:
    """The document."""
    config = services.config
    if services.document is None or services.document[0] is not config:
        services.document = config, await asyncio.to_thread(client_document, config, "")
    body = orjson.dumps({**services.document[1], "servers": [{"url": request.origin}]})
    return Response(body, headers=_HEADERS, media_type="application/json")


ROWS: Final = (Page("GET", "/openapi.json", show, "The OpenAPI document of what clients call.", "docs"),)
