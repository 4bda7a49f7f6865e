"""The page at /."""

from pathlib import Path

from tests.fakes import ScriptedUpstream
from tests.pages.serving import reader
from tests.serving import RunningGateway, simple_config


def test_a_browser_gets_html(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway,
        reader(gateway) as client,
    ):
        response = client.get("/")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
