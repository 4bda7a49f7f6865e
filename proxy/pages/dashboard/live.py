"""Live: requests as they end, as server-sent events.

The rows are read from the ledger, so they are those of all workers; without a reader nothing is read. An event has the
id of its request, and not its place in the ledger, from which the owner of a key could count what others do.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from starlette.responses import Response, StreamingResponse

from proxy.auth.names import Names
from proxy.clock.gil import pause
from proxy.errors import GatewayError, Overloaded
from proxy.ledger.board_values import RequestRow
from proxy.pages.dashboard.figures import Figures
from proxy.pages.dashboard.frame import boards_of, scope_of
from proxy.pages.dashboard.requests import cells_of, started_of
from proxy.pages.dashboard.scope import Scope
from proxy.pages.request import Access, Page, PageRequest
from proxy.pages.services import PageServices

#: Seconds between two looks at the ledger.
_INTERVAL: Final = 0.5
#: Looks between two comments that keep the connection, and after which the reader connects anew.
_BEATS_OF_COMMENT: Final = 30
_BEATS: Final = 7_200
#: Rows of one look that are sent; those before them are counted.
_MAX_SENT: Final = 100
#: Rows that are written at once: some tenths of a millisecond.
_PIECE: Final = 5
MAX_STREAMS: Final = 50
MAX_STREAMS_PER_SESSION: Final = 5
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def live(services: PageServices, request: PageRequest) -> Response:
    """The stream. Raises `Overloaded` where too many run."""
    token = request.session
    _check_count(services, token)
    scope, names = await scope_of(services, request)
    place = await _place(services, request, scope)
    # Others may have begun meanwhile.
    _check_count(services, token)
    events = _events(services, scope, names, token, place)
    return StreamingResponse(events, headers=_HEADERS, media_type="text/event-stream")


def _check_count(services: PageServices, token: str) -> None:
    if services.live.total() >= MAX_STREAMS or services.live[token] >= MAX_STREAMS_PER_SESSION:
        raise Overloaded("Too many live lists are open. Close one, and load the page again.")


async def _place(services: PageServices, request: PageRequest, scope: Scope) -> int:
    """Where the reader was, by the id of the last event; else the end as it is now."""
    boards = boards_of(services)
    last = request.header(b"last-event-id") or request.query.get("last", "")
    found = await boards.request(last, scope.only) if last else None
    return found.row.place if found is not None else (await boards.newest(scope.only, None, 1)).place


async def _events(services: PageServices, scope: Scope, names: Names, token: str, place: int) -> AsyncIterator[bytes]:
    services.live[token] += 1
    try:
        async for event in _rows(services, scope, names, token, place):
            yield event
    finally:
        services.live[token] -= 1
        if not services.live[token]:
            del services.live[token]


async def _rows(services: PageServices, scope: Scope, names: Names, token: str, place: int) -> AsyncIterator[bytes]:
    boards, figures = boards_of(services), Figures(scope.zone)
    after = place
    yield b": begin\n\n"
    for beat in range(_BEATS):
        if services.admin.nodes.is_draining:
            yield _end("The gateway is shutting down.", again=True)
            return
        if await services.sessions.viewer(token, used=False) is None:
            yield _end("The session has ended. Sign in again.", again=False)
            return
        try:
            rows, after, missed = await boards.newest(scope.only, after, _MAX_SENT)
        except GatewayError as error:
            yield _end(error.message, again=False)
            return
        if missed:
            yield _event("dropped", {"count": missed})
        for at in range(0, len(rows), _PIECE):
            events = [_row(row, names, figures, for_admin=scope.viewer.is_admin) for row in rows[at : at + _PIECE]]
            yield b"".join(events)
            # Requests go on meanwhile.
            await pause()
        if beat % _BEATS_OF_COMMENT == _BEATS_OF_COMMENT - 1:
            yield b": still here\n\n"
        await asyncio.sleep(_INTERVAL)
    yield _end("", again=True)


def _row(row: RequestRow, names: Names, figures: Figures, *, for_admin: bool) -> bytes:
    one = {
        "id": row.record.id,
        "time": figures.time(started_of(row)),
        "status": row.record.status,
        "cells": cells_of(row, names, figures, for_admin=for_admin),
    }
    return b"id: " + row.record.id.encode() + b"\n" + _event("request", one)


def _end(reason: str, *, again: bool) -> bytes:
    return _event("end", {"reason": reason, "again": again})


def _event(name: str, data: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


ROWS: Final = (Page("GET", "/dashboard/requests/live.sse", live, "Requests as they end.", "dashboard", Access.VIEWER),)
