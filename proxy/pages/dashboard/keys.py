"""Keys: what each has used and may still use; an admin creates, rotates and revokes them here.

A secret is in the one response that has made it, and nowhere else: that page is not kept by browsers, and loading it
again makes no second key. The owner of a key sees that key and changes nothing: the holder of an old secret, in its
time of grace, could otherwise take over the new one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET
from starlette.responses import RedirectResponse, Response

from proxy.admin.routes.keys import KeyDocument, document
from proxy.auth.keys import Key, StoredKey
from proxy.auth.values import KeyFields
from proxy.config.tree import Budget, Limits
from proxy.errors import GatewayError, InvalidRequest
from proxy.ledger import periods
from proxy.ledger.board_values import Group
from proxy.pages.dashboard.csv_file import csv_response
from proxy.pages.dashboard.documents import ScopeDocument, TotalsDocument, flat, scope_document, totals_document
from proxy.pages.dashboard.figures import cost_of
from proxy.pages.dashboard.frame import block, boards_of, json_response, page, scope_of
from proxy.pages.dashboard.scope import Scope
from proxy.pages.request import Access, Page, PageRequest
from proxy.pages.services import PageServices

#: Keys of one page, and of a document or a file.
PAGE: Final = 100
#: Fields of the form, as they are kept where something in them is wrong.
_FIELDS: Final = ("name", "models", "team", "tags", "requests", "tokens", "concurrent", "budget", "window", "expires")
WINDOWS: Final = ("day", "week", "month", "year", "total")


class KeyLine(msgspec.Struct, frozen=True, kw_only=True):
    """A key with what it has used in the period."""

    key: KeyDocument
    last_used: str | None
    totals: TotalsDocument


class KeysDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A page of keys as JSON."""

    scope: ScopeDocument
    keys: list[KeyLine]
    #: For `after` of the next page; null at the end.
    cursor: str | None


class Line(NamedTuple):
    """A row of the table."""

    key: StoredKey
    used: Group


async def show(services: PageServices, request: PageRequest) -> Response:
    """The keys; for an owner, the own one."""
    viewer = request.signed_in
    if viewer.key is not None:
        return RedirectResponse(f"/dashboard/keys/{viewer.key}", HTTPStatus.SEE_OTHER)
    return await _list(services, request)


async def show_json(services: PageServices, request: PageRequest) -> Response:
    """The same as JSON."""
    scope, _ = await scope_of(services, request)
    lines, cursor = await _lines(services, request, scope)
    keys = _documents(lines, for_admin=scope.viewer.is_admin)
    return json_response(KeysDocument(scope=scope_document(scope), keys=keys, cursor=cursor))


async def show_csv(services: PageServices, request: PageRequest) -> Response:
    """The same as CSV."""
    scope, _ = await scope_of(services, request)
    lines, _ = await _lines(services, request, scope)
    rows = [flat(one) for one in _documents(lines, for_admin=scope.viewer.is_admin)]
    # Keys differ in what they have of limits and metadata.
    return csv_response("keys", rows, dict.fromkeys(name for row in rows for name in row))


async def create(services: PageServices, request: PageRequest) -> Response:
    """Create a key, and show its secret; or the form again, with what is wrong in it."""
    try:
        scope, _ = await scope_of(services, request)
        fields = fields_of(request.form, scope.zone)
        key, secret = await services.admin.store.keys.add(fields, actor=request.signed_in.actor)
    except InvalidRequest as error:
        return await _list(services, request, error)
    return await _secret(services, request, key.name, key.id, secret, HTTPStatus.CREATED)


async def detail(services: PageServices, request: PageRequest) -> Response:
    """The page of one key. Raises InvalidRequest (404) alike for an unknown one and, for an owner, any other."""
    return await _detail(services, request)


async def rotate(services: PageServices, request: PageRequest) -> Response:
    """Give a key a new secret, and show it."""
    keys = services.admin.store.keys
    key = await keys.get(request.ids["key_id"])
    grace = str(request.form.get("grace", "0"))
    seconds = int(grace) if grace.isascii() and grace.isdigit() and len(grace) < 8 else -1
    try:
        secret = await keys.rotate(key.id, seconds, actor=request.signed_in.actor, expected=_version(request))
    except InvalidRequest as error:
        return await _detail(services, request, error)
    return await _secret(services, request, key.name, key.id, secret, HTTPStatus.OK)


async def revoke(services: PageServices, request: PageRequest) -> Response:
    """Revoke a key, for good."""
    try:
        await services.admin.store.keys.revoke(
            request.ids["key_id"], actor=request.signed_in.actor, expected=_version(request)
        )
    except InvalidRequest as error:
        return await _detail(services, request, error)
    return RedirectResponse(f"/dashboard/keys/{request.ids['key_id']}", HTTPStatus.SEE_OTHER)


def fields_of(form: Mapping[str, Any], zone: str) -> KeyFields:
    """What a form says of a new key. Raises InvalidRequest, and names the field."""
    texts = {name: str(form.get(name, "")).strip() for name in _FIELDS}
    limits = Limits(
        requests=texts["requests"], tokens=texts["tokens"], concurrent=_whole(texts["concurrent"], "concurrent")
    )
    budgets = [Budget(limit=_dollars(texts["budget"]), window=texts["window"] or "month", zone=zone)]
    return KeyFields(
        name=texts["name"],
        models=_list_of(texts["models"]) or None,
        team=texts["team"] or None,
        tags=_list_of(texts["tags"]),
        limits=limits if limits != Limits() else None,
        budgets=budgets if texts["budget"] else UNSET,
        expires=_moment(texts["expires"], zone),
    )


async def _list(services: PageServices, request: PageRequest, error: GatewayError | None = None) -> Response:
    scope, _ = await scope_of(services, request)
    lines, cursor = await _lines(services, request, scope)
    return await page(
        services,
        request,
        "keys.html",
        scope,
        status=HTTPStatus.OK if error is None else error.status,
        title="Keys",
        path="/dashboard/keys",
        lines=lines,
        cost_of=cost_of,
        more=scope.query(after=cursor) if cursor is not None else "",
        error=error,
        form={name: str(request.form.get(name, "")) for name in _FIELDS},
        windows=WINDOWS,
        teams=[team.name for team in await services.admin.store.teams.list(limit=PAGE)],
        twin="/dashboard/keys",
    )


async def _lines(services: PageServices, request: PageRequest, scope: Scope) -> tuple[list[Line], str | None]:
    """The keys of a page, with what they have used."""
    viewer = request.signed_in
    keys = services.admin.store.keys
    if viewer.key is not None:
        own = await keys.find(viewer.key)
        found = [] if own is None else [own]
    else:
        found = await keys.list(limit=PAGE + 1, after=request.query.get("after"), revoked=True)
    cursor = found[PAGE - 1].id if len(found) > PAGE else None
    used = await boards_of(services).lines(scope.board, "key", tuple(key.id for key in found[:PAGE]))
    return [Line(key, used[key.id]) for key in found[:PAGE]], cursor


def _documents(lines: list[Line], *, for_admin: bool) -> list[KeyLine]:
    """The lines as JSON. What operators have written to a key is for them."""
    hidden: dict[str, Any] = {} if for_admin else {"metadata": None}
    return [
        KeyLine(
            key=KeyDocument(**{**document(line.key), **hidden}),
            last_used=_utc(line.used.last_used),
            totals=totals_document(line.used.totals, for_admin=for_admin),
        )
        for line in lines
    ]


async def _detail(services: PageServices, request: PageRequest, error: GatewayError | None = None) -> Response:
    viewer, id_ = request.signed_in, request.ids["key_id"]
    if not viewer.is_admin and id_ != viewer.key:
        raise InvalidRequest("There is no such key.", status=404, code="key_not_found")
    stored = await services.admin.store.keys.find(id_)
    live = services.admin.keys.by_id(id_, datetime.now(UTC).timestamp())
    key: Key | None = stored or live
    if key is None:
        raise InvalidRequest("There is no such key.", status=404, code="key_not_found")
    scope, _ = await scope_of(services, request)
    aliases = [alias for alias in services.config.models if key.models is None or alias in key.models]
    used = await block(boards_of(services).totals(msgspec.structs.replace(scope.board, only=_only(scope, key))))
    return await page(
        services,
        request,
        "key.html",
        scope,
        status=HTTPStatus.OK if error is None else error.status,
        title=key.name,
        path=f"/dashboard/keys/{key.id}",
        key=key,
        team=stored.team_name if stored is not None else "",
        key_version=stored.version if stored is not None and stored.revoked is None else None,
        used=used,
        cost_of=cost_of,
        limits=services.standing.limits(live, aliases) if live is not None else [],
        budgets=await services.standing.budgets(live, aliases) if live is not None else [],
        error=error,
        seconds_of=_seconds,
    )


def _only(scope: Scope, key: Key) -> Any:
    return scope.viewer.only(msgspec.structs.replace(scope.only, keys=(key.id,)))


async def _secret(
    services: PageServices, request: PageRequest, name: str, id_: str, secret: str, status: HTTPStatus
) -> Response:
    scope, _ = await scope_of(services, request)
    at = f"/dashboard/keys/{id_}"
    return await page(services, request, "secret.html", scope, status=status, title=name, path=at, at=at, secret=secret)


def _version(request: PageRequest) -> int | None:
    """The version of the key that the form was for: a form that is sent twice changes nothing twice."""
    text = str(request.form.get("version", ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


def _whole(text: str, field: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest(f"'{field}' is a whole number.", param=field)
    return int(text)


def _dollars(text: str) -> Decimal:
    try:
        return Decimal(text.removeprefix("$").replace(",", "")) if text else Decimal()
    except InvalidOperation as error:
        raise InvalidRequest("'budget' is an amount in USD, such as 25.00.", param="budget") from error


def _list_of(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _moment(text: str, zone: str) -> datetime | None:
    """The end of a day in the time zone of the page."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(hour=23, minute=59, second=59, tzinfo=periods.zone_of(zone))
    except ValueError as error:
        raise InvalidRequest("'expires' is a date, such as 2027-01-31.", param="expires") from error


def _utc(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1_000_000


ROWS: Final = (
    Page("GET", "/dashboard/keys", show, "The keys.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/keys.json", show_json, "They as JSON.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/keys.csv", show_csv, "They as CSV.", "dashboard", Access.VIEWER),
    Page("POST", "/dashboard/keys", create, "Create a key.", "dashboard", Access.ADMIN),
    Page("GET", "/dashboard/keys/{key_id}", detail, "One key.", "dashboard", Access.VIEWER),
    Page("POST", "/dashboard/keys/{key_id}/rotate", rotate, "Give it a new secret.", "dashboard", Access.ADMIN),
    Page("POST", "/dashboard/keys/{key_id}/revoke", revoke, "Revoke it.", "dashboard", Access.ADMIN),
)
