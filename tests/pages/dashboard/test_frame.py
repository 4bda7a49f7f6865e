"""The frame of every page, and blocks whose errors do not take the page with them."""

import asyncio
from typing import NoReturn

import httpx

from proxy.errors import InvalidRequest
from proxy.pages.dashboard.frame import block


async def too_long() -> NoReturn:
    raise InvalidRequest("this report needs more than 2 s", code="report_too_long")


def test_an_error_of_a_block_says_how_to_mend_it() -> None:
    found = asyncio.run(block(too_long()))
    assert found.value is None
    assert found.error == "this report needs more than 2 s"
    assert found.mending.startswith("Choose a shorter period")


def test_a_block_that_fails_leaves_the_page(admin: httpx.Client) -> None:
    # More periods than a chart may have.
    response = admin.get("/dashboard?period=custom&from=2020-01-01&to=2026-01-01&step=hour")
    assert response.status_code == 200
    assert response.text.count("This block could not be read.") == 1
    assert "a chart has at most" in response.text


def test_owners_have_no_links_to_pages_for_admins(admin: httpx.Client, owner: httpx.Client) -> None:
    assert 'href="/dashboard/audit' in admin.get("/dashboard").text
    assert 'href="/dashboard/audit' not in owner.get("/dashboard").text


def test_links_keep_the_scope(admin: httpx.Client) -> None:
    assert 'href="/dashboard/requests?period=7d&amp;alias=prometheus-core"' in (
        admin.get("/dashboard?period=7d&alias=prometheus-core").text
    )
