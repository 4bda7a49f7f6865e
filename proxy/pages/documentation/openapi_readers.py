"""Swagger UI at `/docs` and ReDoc at `/redoc`: the OpenAPI document for people. Both are vendored."""

from typing import Any, Final

from starlette.responses import Response

from proxy.pages.request import Page, PageRequest
from proxy.pages.services import PageServices

#: The style sheet of Swagger UI has its pictures in it.
_SWAGGER_SOURCES: Final = {"img-src": "'self' data:"}
#: ReDoc makes its style sheets while it runs, and searches in a worker whose text it has.
_REDOC_SOURCES: Final = {**_SWAGGER_SOURCES, "style-src": "'self' 'unsafe-inline'", "worker-src": "blob:"}


async def swagger(services: PageServices, request: PageRequest) -> Response:
    """Every operation with a form that sends it to this gateway."""
    return _page(
        services,
        title="Swagger UI",
        styles=("vendor/swagger-ui.css",),
        scripts=("vendor/swagger-ui-bundle.js", "swagger.js"),
    )


async def redoc(services: PageServices, request: PageRequest) -> Response:
    """Every operation with its schemas, to be read."""
    return _page(services, title="ReDoc", styles=(), scripts=("vendor/redoc.standalone.js", "redoc.js"))


def _page(services: PageServices, **values: Any) -> Response:
    response = services.templates.page("openapi.html", twin="/openapi.json", **values)
    response.headers["cache-control"] = "public, max-age=60"
    return response


ROWS: Final = (
    Page("GET", "/docs", swagger, "Every operation, with a form that sends it.", "docs", sources=_SWAGGER_SOURCES),
    Page("GET", "/redoc", redoc, "Every operation with its schemas, to be read.", "docs", sources=_REDOC_SOURCES),
)
