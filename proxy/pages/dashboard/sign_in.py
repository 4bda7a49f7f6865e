"""Signing in to the dashboard and out of it."""

from typing import Final

from starlette.responses import Response

from proxy.pages.request import Page, PageRequest
from proxy.pages.services import PageServices


async def show(services: PageServices, request: PageRequest) -> Response:
    """The form to sign in with."""
    return services.templates.page("sign_in.html")


ROWS: Final = (Page("GET", "/dashboard/sign-in", show, "The form to sign in with.", "dashboard"),)
