"""What a reader chooses to see: the time zone and the colours, in cookies that hold no secret."""

from typing import Final
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from proxy.errors import InvalidRequest
from proxy.ledger import periods
from proxy.pages.dashboard.scope import MAX_FILTER_CHARACTERS, THEME_COOKIE, THEMES, ZONE_COOKIE
from proxy.pages.origin import own_page
from proxy.pages.request import Access, Page, PageRequest
from proxy.pages.services import PageServices

_YEAR_SECONDS: Final = 365 * 86_400


async def save(services: PageServices, request: PageRequest) -> Response:
    """Keep the choice, and go back to the page. Raises InvalidRequest for a zone that is not known."""
    zone, theme = str(request.form.get("zone", "UTC")), str(request.form.get("theme", "system"))
    if len(zone) > MAX_FILTER_CHARACTERS:
        raise InvalidRequest("There is no such time zone.", param="zone")
    periods.zone_of(zone)
    if theme not in THEMES:
        raise InvalidRequest(f"'theme' is one of {', '.join(THEMES)}.", param="theme")
    response = RedirectResponse(own_page(str(request.form.get("next", ""))), 303)
    is_https = request.origin.startswith("https:")
    for name, value in ((ZONE_COOKIE, quote(zone, safe="+-_")), (THEME_COOKIE, theme)):
        response.set_cookie(
            name, value, max_age=_YEAR_SECONDS, path="/dashboard", secure=is_https, httponly=True, samesite="lax"
        )
    return response


ROWS: Final = (
    Page("POST", "/dashboard/settings", save, "Keep the time zone and the colours.", "dashboard", Access.VIEWER),
)
