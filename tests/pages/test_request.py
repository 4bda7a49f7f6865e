"""Rows of the table of pages."""

from starlette.responses import Response

from proxy.pages.request import Page, PageRequest
from proxy.pages.services import PageServices


async def handler(services: PageServices, request: PageRequest) -> Response:
    return Response()


def test_a_part_in_braces_matches_no_slash() -> None:
    pattern = Page("GET", "/dashboard/keys/{key_id}.json", handler, "A key.", "dashboard").pattern
    match = pattern.fullmatch("/dashboard/keys/key_1.json")
    assert match is not None
    assert match.groupdict() == {"key_id": "key_1"}
    assert pattern.fullmatch("/dashboard/keys/a/b.json") is None
