"""Frame: what every page of the dashboard has around its content; blocks, each with an error of its own.

A block that fails, such as at its time limit, is replaced by its error and how to mend it; the page stays.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from starlette.responses import Response

from proxy.auth.names import Names
from proxy.errors import GatewayError
from proxy.ledger.boards import Boards
from proxy.pages.dashboard.figures import Figures
from proxy.pages.dashboard.scope import ADMIN_FILTERS, FILTERS, PERIODS, Scope, read_scope, theme_of
from proxy.pages.request import PageRequest
from proxy.pages.services import PageServices

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")

#: The pages of the navigation: path, name, and whether they are for admins only.
NAVIGATION: Final = (
    ("/dashboard", "Overview", False),
    ("/dashboard/requests", "Requests", False),
    ("/dashboard/keys", "Keys", False),
    ("/dashboard/models", "Models", False),
    ("/dashboard/budgets", "Budgets", False),
    ("/dashboard/teams", "Teams", True),
    ("/dashboard/audit", "Audit", True),
)
#: Time zones that the field proposes; any IANA name may be written.
ZONES: Final = (
    *("UTC", "Europe/London", "Europe/Berlin", "Europe/Paris", "Europe/Kyiv", "Africa/Lagos", "Africa/Nairobi"),
    *("Asia/Dubai", "Asia/Kolkata", "Asia/Singapore", "Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney"),
    *("Pacific/Auckland", "America/Sao_Paulo", "America/New_York", "America/Chicago", "America/Denver"),
    *("America/Los_Angeles",),
)
#: How to mend the error of a block, by its code.
_MENDING: Final[Mapping[str, str]] = {
    "report_too_long": "Choose a shorter period, or take away filters of status, outcome, session, user and metadata: "
    "those read single requests.",
}
STATUSES: Final = ("2xx", "4xx", "5xx", "401", "403", "404", "429", "500", "502", "503", "504")
OUTCOMES: Final = (
    *("complete", "client_closed", "client_stalled", "upstream_cut", "upstream_error", "timeout", "refused"),
    *("gateway_shutdown", "interrupted", "hedge_lost"),
)


class Block(NamedTuple, Generic[T]):
    """What a query has returned, or why it did not."""

    value: T | None
    error: str = ""
    mending: str = ""


async def block(work: Awaitable[T]) -> Block[T]:
    """The value of a query, or its error."""
    try:
        return Block(await work)
    except GatewayError as error:
        return Block(None, error.message, _MENDING.get(error.code or "", "Load the page again, or try another period."))


async def scope_of(services: PageServices, request: PageRequest) -> tuple[Scope, Names]:
    """The scope of a request, and the names that its viewer may see. Raises InvalidRequest and StoreFailed."""
    if services.has_sample is None:
        services.has_sample = await boards_of(services).has_sample()
    names = await names_of(services, request)
    return read_scope(request, names), names


async def names_of(services: PageServices, request: PageRequest) -> Names:
    """The names of keys and teams: for the owner of a key, of that alone."""
    viewer = request.signed_in
    if viewer.key is None:
        return await services.names.read()
    # The index has keys of this process alone too, such as the demo's.
    key = services.admin.keys.by_id(viewer.key, time.time())
    if key is None:
        return Names()
    return Names(keys={key.id: key.name}, live=frozenset({key.id}), tags={key.id: key.tags})


def aliases_of(services: PageServices, request: PageRequest) -> list[str]:
    """The aliases that a viewer may use."""
    viewer = request.signed_in
    if viewer.key is None:
        return list(services.config.models)
    key = services.admin.keys.by_id(viewer.key, time.time())
    allowed = key.models if key is not None else frozenset()
    return [alias for alias in services.config.models if allowed is None or alias in allowed]


def boards_of(services: PageServices) -> Boards:
    """The queries of the ledger."""
    return services.admin.state.ledger.boards


async def page(
    services: PageServices, request: PageRequest, template: str, scope: Scope, *, status: int = 200, **values: Any
) -> Response:
    """A page of the dashboard in its frame."""
    viewer = request.signed_in
    return await services.templates.page_in_turns(
        f"dashboard/{template}",
        status,
        **{
            "viewer": viewer,
            "scope": scope,
            "figures": Figures(scope.zone),
            "theme": theme_of(request),
            "path": request.path,
            "navigation": [
                (path, name, _is_current(request.path, path))
                for path, name, is_admins in NAVIGATION
                if viewer.is_admin or not is_admins
            ],
            "periods": PERIODS,
            "zones": ZONES,
            "choices": _choices(services, request),
            "filter_names": [name for name in FILTERS if viewer.is_admin or name not in ADMIN_FILTERS],
            "is_sample": is_sample(services),
            "here": request.path + scope.query(),
            **values,
        },
    )


def is_sample(services: PageServices) -> bool:
    """Whether the ledger has made-up rows, which every page says."""
    return bool(services.has_sample)


def json_response(value: Any) -> Response:
    """The JSON twin of a page."""
    return Response(msgspec.json.encode(value), media_type="application/json")


async def both(first: Awaitable[T], second: Awaitable[U]) -> tuple[T, U]:
    """Two queries at the same time. Where one fails the other is cancelled."""
    async with asyncio.TaskGroup() as group:
        one, two = group.create_task(_of(first)), group.create_task(_of(second))
    return one.result(), two.result()


async def three(first: Awaitable[T], second: Awaitable[U], third: Awaitable[V]) -> tuple[T, U, V]:
    """Three queries at the same time."""
    (one, two), last = await both(both(first, second), third)
    return one, two, last


async def _of(work: Awaitable[T]) -> T:
    return await work


def _is_current(path: str, of: str) -> bool:
    return path == of if of == "/dashboard" else path == of or path.startswith(f"{of}/")


def _choices(services: PageServices, request: PageRequest) -> Mapping[str, tuple[str, ...]]:
    """What a filter can be, where that is a short list."""
    return {"alias": tuple(aliases_of(services, request)), "status": STATUSES, "outcome": OUTCOMES}
