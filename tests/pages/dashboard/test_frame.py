"""The frame of every page, and blocks whose errors do not take the page with them."""

import asyncio
import time
from pathlib import Path
from typing import NoReturn

import httpx

from proxy.errors import InvalidRequest
from proxy.ledger.sample import add_sample
from proxy.pages.dashboard.frame import NAVIGATION, block
from tests.pages.serving import reader, session_of
from tests.serving import KEY, RunningGateway, simple_config


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


def test_every_page_of_the_navigation_is_there(admin: httpx.Client) -> None:
    for path, _, _ in NAVIGATION:
        assert admin.get(path).status_code == 200


def test_links_keep_the_scope(admin: httpx.Client) -> None:
    assert 'href="/dashboard/requests?period=7d&amp;alias=prometheus-core"' in (
        admin.get("/dashboard?period=7d&alias=prometheus-core").text
    )


def test_sample_data_is_said_on_the_page(tmp_path: Path) -> None:
    config = simple_config(tmp_path, "http://127.0.0.1:9")
    add_sample(tmp_path, config.models, int(time.time()))
    with RunningGateway(config) as gateway, reader(gateway, session_of(gateway)) as client:
        assert "Sample data." in client.get("/dashboard").text


def test_other_data_is_not_called_so(admin: httpx.Client) -> None:
    assert "Sample data." not in admin.get("/dashboard").text


def test_the_owner_of_a_key_that_is_in_no_database_sees_it_too(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway:
        for path in ("/dashboard", "/dashboard/requests"):
            with reader(gateway, session_of(gateway, KEY)) as client:
                assert client.get(path).status_code == 200
