"""Budgets: what is spent, reserved and left of each, when it begins anew, and when it will be used up at today's rate.

The owner of a key sees the budgets that the key spends from; of those that other keys spend too, not how much is left.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.responses import Response

from proxy.admin.routes.pages import usd, utc
from proxy.auth.keys import Key
from proxy.ledger.spending import Payers, SpendingReader
from proxy.pages.dashboard.csv_file import csv_response
from proxy.pages.dashboard.documents import flat
from proxy.pages.dashboard.frame import json_response, page, scope_of
from proxy.pages.request import Access, Page, PageRequest
from proxy.pages.services import PageServices
from proxy.policies.budget_report import BudgetLine, budget_lines, budget_pots, read_forecast
from proxy.policies.standing import BudgetStanding

#: Budgets of one page: each is read by itself.
PAGE: Final = 25
_MICROSECONDS: Final = 1_000_000


class ForecastDocument(msgspec.Struct, frozen=True, kw_only=True):
    """How a budget goes on if the coming hours cost what those of the last week did; null where that is not known."""

    usd_per_hour: str | None
    projected_usd: str | None
    used_up: str | None


class BudgetDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One budget, or the prepaid credits of a key."""

    payer: str
    name: str | None
    models: tuple[str, ...]
    window: str
    zone: str
    on_exceed: str
    state: str
    limit_usd: str | None
    #: Null where other keys spend it too.
    spent_usd: str | None
    reserved_usd: str | None
    left_usd: str | None
    percent: float | None
    reset: str | None
    forecast: ForecastDocument


class BudgetsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A page of budgets as JSON."""

    budgets: list[BudgetDocument]
    #: For `after` of the next page; null at the end.
    cursor: str | None


async def show(services: PageServices, request: PageRequest) -> Response:
    """The page."""
    scope, _ = await scope_of(services, request)
    lines, cursor = await _lines(services, request)
    return await page(
        services,
        request,
        "budgets.html",
        scope,
        title="Budgets",
        lines=lines,
        more=scope.query(after=cursor) if cursor is not None else "",
        seconds_of=_seconds,
        twin="/dashboard/budgets",
    )


async def show_json(services: PageServices, request: PageRequest) -> Response:
    """The same as JSON."""
    await scope_of(services, request)
    lines, cursor = await _lines(services, request)
    return json_response(BudgetsDocument(budgets=[_document(line) for line in lines], cursor=cursor))


async def show_csv(services: PageServices, request: PageRequest) -> Response:
    """The same as CSV."""
    await scope_of(services, request)
    lines, _ = await _lines(services, request)
    rows = [{**flat(_document(line)), "models": " ".join(line.models)} for line in lines]
    return csv_response("budgets", rows, list(rows[0]) if rows else [])


async def _lines(services: PageServices, request: PageRequest) -> tuple[list[BudgetLine], str | None]:
    """The budgets of a page, and where the next one begins. Raises StoreFailed."""
    viewer, admin = request.signed_in, services.admin
    if viewer.key is not None:
        key = admin.keys.by_id(viewer.key, time.time())
        return ([] if key is None else await _own(services, key)), None
    asked = request.query.get("after", "")
    after = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 0
    pots = await budget_pots(admin.store, services.config.budgets)
    lines = [line async for line in budget_lines(pots[after : after + PAGE], admin.state.ledger.data_dir)]
    return lines, str(after + PAGE) if len(pots) > after + PAGE else None


async def _own(services: PageServices, key: Key) -> list[BudgetLine]:
    aliases = [alias for alias in services.config.models if key.models is None or alias in key.models]
    found = await services.standing.budgets(key, aliases)
    return await asyncio.to_thread(_standing_lines, services, key, found)


def _standing_lines(services: PageServices, key: Key, found: Sequence[BudgetStanding]) -> list[BudgetLine]:
    reader, now = SpendingReader(services.admin.state.ledger.data_dir), time.time_ns() // 1_000
    lines = []
    for one in found:
        line = BudgetLine(
            payer=one.label,
            name="",
            models=one.models,
            window=one.window,
            limit=one.limit,
            spent=one.spent,
            reserved=one.reserved,
            reset=one.reset,
            zone=one.zone,
            on_exceed=one.on_exceed,
        )
        if one.spent is not None:
            payers = Payers(keys=(key.id,), models=one.models)
            known = read_forecast(
                reader, payers, spent=one.spent, limit=one.limit, now=now, end=one.reset, since=key.created
            )
            line = msgspec.structs.replace(line, forecast=known)
        lines.append(line)
    return lines


def _document(line: BudgetLine) -> BudgetDocument:
    known = line.forecast
    return BudgetDocument(
        payer=line.payer,
        name=line.name or None,
        models=line.models,
        window=line.window,
        zone=line.zone,
        on_exceed=line.on_exceed,
        state=line.state,
        limit_usd=usd(line.limit),
        spent_usd=usd(line.spent),
        reserved_usd=usd(line.reserved),
        left_usd=usd(line.left),
        percent=line.percent,
        reset=utc(_seconds(line.reset)),
        forecast=ForecastDocument(
            usd_per_hour=usd(known.rate), projected_usd=usd(known.projected), used_up=utc(known.used_up)
        ),
    )


def _seconds(microseconds: int | None) -> int | None:
    return None if microseconds is None else microseconds // _MICROSECONDS


ROWS: Final = (
    Page("GET", "/dashboard/budgets", show, "Budgets with their forecast.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/budgets.json", show_json, "They as JSON.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/budgets.csv", show_csv, "They as CSV.", "dashboard", Access.VIEWER),
)
