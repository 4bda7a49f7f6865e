"""Site: serves the pages of the table, with what keeps a browser safe on every response.

A page is refused unless its row allows it: for want of a session, then for want of the right, then for a form that
another site could have sent. It never sends headers of CORS.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from starlette.datastructures import FormData, QueryParams
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from proxy.admin.api import is_allowed
from proxy.dialects.openai_chat import CHAT
from proxy.errors import AuthenticationFailed, ClientGone, GatewayError, InternalFault, InvalidRequest
from proxy.exchange.context import RequestContext
from proxy.exchange.response_head import timestamp
from proxy.pages import static
from proxy.pages.cookies import token_in
from proxy.pages.delivery import deliver_page
from proxy.pages.origin import DASHBOARD, is_reached_by_https, origin_of, same_origin
from proxy.pages.request import MAX_FORM_BYTES, Access, Page, PageRequest
from proxy.pages.services import PageServices
from proxy.pages.static import StaticFiles
from proxy.pages.viewer import Viewer
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.wire.headers import header_value

SIGN_IN: Final = "/dashboard/sign-in"
_ENDINGS_OF_DATA: Final = (".json", ".csv", ".sse")
#: Nothing is loaded from another host, and no script or style stands in a page.
_SOURCES: Final[Mapping[str, str]] = {
    "default-src": "'none'",
    "base-uri": "'none'",
    "connect-src": "'self'",
    "font-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "img-src": "'self'",
    "media-src": "'self' blob:",
    "script-src": "'self'",
    "style-src": "'self'",
}
_log = logging.getLogger(__name__)


class Site:
    """An ASGI application for the paths that it `serves`."""

    def __init__(
        self, services: PageServices, files: StaticFiles, pages: Sequence[Page], *, is_admins_own: bool = False
    ) -> None:
        """`is_admins_own` is the site at the admin API's own address: it has no page for clients."""
        self.services = services
        self._is_admins_own = is_admins_own
        self._files = files
        self._rows = pages
        self._pages = [(page, page.pattern) for page in pages]
        #: Paths of pages that are not below a prefix, by the part that they belong to.
        self._parts = {page.path: page.part for page in pages if not page.path.startswith(DASHBOARD)}

    def for_admins(self) -> "Site":
        """The same site at the admin API's own address."""
        return Site(self.services, self._files, self._rows, is_admins_own=True)

    def serves(self, path: str) -> bool:
        """Whether a path is the site's, by the parts that are switched on.

        All paths below the dashboard are, whether a row has them or not.
        """
        settings = self.services.config.pages
        if path.startswith(static.PREFIX):
            return settings.docs or settings.dashboard
        if path == DASHBOARD or path.startswith(f"{DASHBOARD}/"):
            return settings.dashboard
        part = self._parts.get(path)
        if part == "docs":
            return settings.docs and not self._is_admins_own
        return part is not None and settings.dashboard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Requests have no task of their own, and queries with a time limit need one.
        await asyncio.ensure_future(self._serve(scope, receive, send))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        context: RequestContext = scope["state"]["context"]
        page: Page | None = None
        try:
            if scope["path"].startswith(static.PREFIX):
                response = await self._files.response(scope["path"], scope["headers"])
            else:
                page, ids = self._find(scope)
                response = await self._respond(page, ids, scope, receive)
                if page.method == "GET":
                    is_secure = is_reached_by_https(scope, self._public_url)
                    await deliver_page(response, scope["headers"], is_secure=is_secure)
        except GatewayError as error:
            response = self._error(error, scope, context)
        except Exception as fault:  # noqa: BLE001 (the border of the site)
            _log.error("%s: a page failed", context.id, exc_info=fault)
            response = self._error(InternalFault(), scope, context)
        _protect(response, page)
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[Page, dict[str, str]]:
        path, method = scope["path"], "GET" if scope["method"] == "HEAD" else scope["method"]
        found = [(page, match) for page, pattern in self._pages if (match := pattern.fullmatch(path))]
        # What is spelled out is no id.
        found = [one for one in found if not one[1].groupdict()] or found
        for page, match in found:
            if page.method == method:
                return page, match.groupdict()
        if found:
            allowed = ", ".join(sorted({page.method for page, _ in found}))
            message = f"{method} is not allowed here. Use {allowed}."
            raise InvalidRequest(message, status=405, code="method_not_allowed", headers={"allow": allowed})
        raise InvalidRequest("There is no such page.", status=404, code="unknown_url")

    async def _respond(self, page: Page, ids: Mapping[str, str], scope: Scope, receive: Receive) -> Response:
        public_url = self._public_url
        is_secure = is_reached_by_https(scope, public_url)
        takes_admins = self._takes_admins(scope)
        token = token_in(scope["headers"], is_secure=is_secure)
        viewer = await self.services.sessions.viewer(token) if token else None
        if viewer is not None and viewer.is_admin and not takes_admins:
            viewer = None
        if page.access is not Access.OPEN and viewer is None:
            if page.method != "GET" or scope["path"].endswith(_ENDINGS_OF_DATA):
                raise AuthenticationFailed(f"Sign in at {SIGN_IN} first.", code="session_required")
            asked = scope["path"] + (f"?{scope['query_string'].decode('ascii')}" if scope["query_string"] else "")
            return RedirectResponse(f"{SIGN_IN}?next={quote(asked, safe='')}", 303)
        if page.access is Access.ADMIN and viewer is not None and not viewer.is_admin:
            raise InvalidRequest("This page is for admins.", status=403, code="admin_token_required")
        form = await _form(page, viewer, scope, public_url)
        work = page.handler(
            self.services,
            PageRequest(
                page.method,
                scope["path"],
                ids,
                QueryParams(scope["query_string"]),
                form,
                scope["headers"],
                viewer,
                token if viewer is not None else "",
                takes_admins,
                origin_of(scope, public_url),
                is_secure,
                scope["client"][0] if scope["client"] is not None else "a Unix socket",
            ),
        )
        # A change is not stopped half way by a client that leaves.
        return await (work if page.method == "POST" else _unless_gone(work, receive))

    @property
    def _public_url(self) -> str:
        return "" if self._is_admins_own else self.services.config.server.public_url

    def _takes_admins(self, scope: Scope) -> bool:
        admin = self.services.config.admin
        if not admin.enabled or (admin.listen and not self._is_admins_own):
            return False
        return scope["client"] is None or is_allowed(scope["client"][0], admin.networks)

    def _error(self, error: GatewayError, scope: Scope, context: RequestContext) -> Response:
        """A page for a browser that wants one, and else the error envelope."""
        accept = header_value(scope["headers"], b"accept") or b""
        if b"text/html" in accept and not scope["path"].endswith(_ENDINGS_OF_DATA):
            response: Response = self.services.templates.page("error.html", error.status, error=error, id=context.id)
            response.headers.update(error.headers)
            return response
        body = CHAT.error_body(error, context.id, timestamp())
        return Response(body, error.status, headers=dict(error.headers), media_type="application/json")


async def _unless_gone(work: Awaitable[Response], receive: Receive) -> Response:
    """The response. Where the client leaves before it is there, its queries are cancelled. Raises `ClientGone`."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone("The client has left.")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _form(page: Page, viewer: Viewer | None, scope: Scope, public_url: str) -> FormData:
    """The fields of a form, which must come from a page of this site. Raises `BodyTooLarge`."""
    if page.method == "GET":
        return FormData()
    if not same_origin(scope, public_url):
        raise InvalidRequest("This form was sent from another site.", status=403, code="cross_site_request")
    cycle: RequestCycle = scope["extensions"][EXTENSION]
    try:
        form = FormData([*QueryParams(await cycle.read_body(MAX_FORM_BYTES)).multi_items()])
    except UnicodeDecodeError as error:
        raise InvalidRequest("The form cannot be read.") from error
    given = header_value(scope["headers"], b"x-csrf-token") or str(form.get("csrf", "")).encode()
    if viewer is not None and not hmac.compare_digest(given, viewer.csrf.encode()):
        raise InvalidRequest(
            "This form is of another session. Load the page again.", status=403, code="wrong_csrf_token"
        )
    return form


def _protect(response: Response, page: Page | None) -> None:
    """Add the headers that bound what a browser does with a response."""
    sources = _SOURCES if page is None or page.sources is None else {**_SOURCES, **page.sources}
    headers = response.headers
    headers["content-security-policy"] = "; ".join(f"{name} {value}" for name, value in sources.items())
    headers["x-content-type-options"] = "nosniff"
    headers["referrer-policy"] = "no-referrer"
    headers["cross-origin-opener-policy"] = "same-origin"
    headers["cross-origin-resource-policy"] = "same-origin"
    headers.setdefault("cache-control", "no-store")
