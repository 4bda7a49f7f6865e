"""What a gateway without a process can do for its admin API, and what starts and ends with it."""

import asyncio
import io
from pathlib import Path

import pytest

from proxy.admin.services import Control
from proxy.app import Gateway
from proxy.errors import ConfigFault, InvalidRequest
from tests.admin.conftest import TOKEN, admin_config
from tests.serving import simple_config


async def good() -> None:
    """The gateway uses the stored keys."""


async def bad() -> None:
    raise ConfigFault("the keys are damaged")


def test_there_is_nothing_to_reload_where_there_is_no_file() -> None:
    with pytest.raises(InvalidRequest) as caught:
        asyncio.run(Control(good).reload())
    assert (caught.value.status, caught.value.code) == (409, "no_config_file")


def test_a_refresh_says_what_has_failed() -> None:
    assert asyncio.run(Control(good).refresh()) == []
    assert asyncio.run(Control(bad).refresh()) == ["the keys are damaged"]


@pytest.mark.parametrize("in_file", [True, False])
def test_a_token_is_made_where_the_configuration_has_none(tmp_path: Path, in_file: bool) -> None:
    config = simple_config(tmp_path, "http://127.0.0.1:9") if in_file else admin_config(tmp_path)
    services = Gateway(config, io.StringIO()).admin.services

    async def run() -> None:
        await services.start()
        await services.stop()

    asyncio.run(run())
    assert (tmp_path / "admin.token").exists() is in_file
    assert TOKEN not in "".join(path.read_text("latin-1") for path in tmp_path.iterdir() if path.is_file())
