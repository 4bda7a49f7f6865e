"""Signing in to the dashboard and out of it: with a key, the admin token, or a link that works once.

A page that is only loaded signs no one in: links in messages are opened by programs too, and would be used up.
"""

from http import HTTPStatus
from typing import Final

from starlette.responses import RedirectResponse, Response

from proxy.errors import AuthenticationFailed, GatewayError, RateLimited
from proxy.pages.cookies import cookie_of
from proxy.pages.origin import own_page
from proxy.pages.request import Access, Page, PageRequest
from proxy.pages.services import PageServices
from proxy.pages.sessions import Credential


async def show(services: PageServices, request: PageRequest) -> Response:
    """The form to sign in with."""
    return _form(services, request)


async def sign_in(services: PageServices, request: PageRequest) -> Response:
    """Begin a session with the secret of the form."""
    secret = str(request.form.get("secret", "")).strip()
    try:
        credential = await services.sessions.identify(secret, request.client, admins=request.takes_admins)
    except (AuthenticationFailed, RateLimited) as error:
        response = _form(services, request, error)
        response.headers.update(error.headers)
        return response
    return await _begin(services, request, credential)


async def show_link(services: PageServices, request: PageRequest) -> Response:
    """The button of a link that signs an admin in."""
    return services.templates.page("link.html", viewer=request.viewer)


async def use_link(services: PageServices, request: PageRequest) -> Response:
    """Begin an admin's session with a link. Raises `AuthenticationFailed` for one that was used, or is over."""
    if not request.takes_admins:
        raise AuthenticationFailed(
            "Admins sign in at the admin API's own address (admin.listen), from its networks.", code="no_admins_here"
        )
    return await _begin(services, request, await services.sessions.redeem(request.ids["code"]))


async def sign_out(services: PageServices, request: PageRequest) -> Response:
    """End the session."""
    await services.sessions.end(request.session)
    response = RedirectResponse("/dashboard/sign-in", HTTPStatus.SEE_OTHER)
    response.headers["set-cookie"] = cookie_of("", 0, is_secure=request.is_secure)
    # What the browser keeps of the pages is for no one who comes after.
    response.headers["clear-site-data"] = '"cache"'
    return response


def _form(services: PageServices, request: PageRequest, error: GatewayError | None = None) -> Response:
    status = HTTPStatus.OK if error is None else error.status
    chosen = own_page(str(request.form.get("next") or request.query.get("next", "")))
    return services.templates.page(
        "sign_in.html", status, error=error, next=chosen, viewer=request.viewer, takes_admins=request.takes_admins
    )


async def _begin(services: PageServices, request: PageRequest, credential: Credential) -> Response:
    """A new session, and never the one that the browser had: it may be another's."""
    if request.session:
        await services.sessions.end(request.session)
    token = await services.sessions.begin(credential)
    response = RedirectResponse(own_page(str(request.form.get("next", ""))), HTTPStatus.SEE_OTHER)
    seconds = services.config.pages.session_max
    response.headers["set-cookie"] = cookie_of(token, seconds, is_secure=request.is_secure)
    return response


ROWS: Final = (
    Page("GET", "/dashboard/sign-in", show, "The form to sign in with.", "dashboard"),
    Page("POST", "/dashboard/sign-in", sign_in, "Sign in with a key or the admin token.", "dashboard"),
    Page("GET", "/dashboard/sign-in/{code}", show_link, "The button of a link that signs in once.", "dashboard"),
    Page("POST", "/dashboard/sign-in/{code}", use_link, "Sign in with such a link.", "dashboard"),
    Page("POST", "/dashboard/sign-out", sign_out, "End the session.", "dashboard", Access.VIEWER),
)
