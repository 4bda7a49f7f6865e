"""Templates: every value is escaped."""

import asyncio

import pytest
from jinja2 import UndefinedError

from proxy.errors import InvalidRequest
from proxy.pages.static import StaticFiles
from proxy.pages.templates import Templates


def test_a_value_is_escaped() -> None:
    page = Templates(StaticFiles()).page("error.html", 404, error=InvalidRequest("<script>"), id='"')
    assert (page.status_code, b"&lt;script&gt;" in page.body, b"<script>" in page.body) == (404, True, False)


def test_a_value_that_is_missing_is_a_fault() -> None:
    with pytest.raises(UndefinedError):
        Templates(StaticFiles()).render("error.html")


def test_others_have_their_turn_while_a_large_page_is_made() -> None:
    templates = Templates(StaticFiles())
    values = {"error": InvalidRequest("<script>"), "id": "x" * 100}
    whole = templates.page("error.html", 404, **values)

    async def run() -> tuple[bytes, int, int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        await asyncio.sleep(0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("proxy.pages.templates._TURN_SECONDS", 0)
            page = await templates.page_in_turns("error.html", 404, **values)
        counting.cancel()
        return bytes(page.body), page.status_code, turns

    body, status, turns = asyncio.run(run())
    assert (body, status) == (whole.body, 404)
    assert turns > 5
