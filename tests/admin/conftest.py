"""A gateway with an admin API, and an HTTP client that has its token."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from proxy.config.tree import Admin, Config
from tests.serving import RunningGateway, simple_config

TOKEN = "prom_admin_token_of_the_tests_0123456789"


def admin_config(folder: Path, *base_urls: str, **admin: Any) -> Config:
    """The configuration of a gateway whose admin token is `TOKEN`."""
    config = simple_config(folder, *(base_urls or ("http://127.0.0.1:9",)))
    return msgspec.structs.replace(config, admin=Admin(**{"token": TOKEN, **admin}))


@contextmanager
def administered(config: Config) -> Iterator[tuple[RunningGateway, httpx.Client]]:
    """A running gateway, and a client with its admin token."""
    with (
        RunningGateway(config) as gateway,
        httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {TOKEN}"}) as client,
    ):
        yield gateway, client
