"""The docs page at `/`: HTML for a browser, and a few lines of text for everything else."""

from typing import Final

from starlette.responses import PlainTextResponse, Response

from proxy.pages.request import Page, PageRequest
from proxy.pages.services import PageServices


async def home(services: PageServices, request: PageRequest) -> Response:
    """The docs page of this gateway."""
    if not request.wants_html:
        return PlainTextResponse(f"An OpenAI-compatible gateway to AI models. Base URL: {request.origin}/v1\n")
    return services.templates.page("home.html", origin=request.origin)


ROWS: Final = (Page("GET", "/", home, "The docs page.", "docs"),)
