"""`make screenshots`: pictures of the demo's pages with its sample data, in docs/images/. Not a test."""

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.cli.test_serve import running
from tests.pages.browser import chromium

IMAGES = Path(__file__).parents[2] / "docs" / "images"


class Shot(NamedTuple):
    """One picture: the page at a path."""

    name: str
    path: str
    dark: bool = False
    phone: bool = False
    #: The text of a link to follow first.
    link: str = ""


SHOTS = (
    Shot("docs", "/"),
    Shot("docs-phone", "/", phone=True),
    Shot("sign-in", "/dashboard/sign-in"),
    Shot("overview", "/dashboard?period=30d&step=day"),
    Shot("overview-dark", "/dashboard?period=30d&step=day", dark=True),
    Shot("overview-phone", "/dashboard?period=30d&step=day", phone=True),
)


def take(folder: Path) -> None:
    """Write all pictures into a folder. Raises AssertionError for a page that reports a fault."""
    folder.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        running(Path(data), "--port", "0", "--sample-data") as serve,
        chromium() as shared,
        shared.in_use() as browser,
    ):
        origin = f"http://127.0.0.1:{serve.port}"
        link = next(line.split()[1] for line in serve.lines if line.startswith("Dashboard: "))
        page = browser.open(origin, link.removeprefix(origin))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/dashboard")
        (cookie,) = page.context.cookies()
        for shot in SHOTS:
            session = None if shot.path.endswith("sign-in") else cookie["value"]
            page = browser.open(origin, shot.path, session=session, dark=shot.dark, phone=shot.phone)
            if shot.link:
                page.get_by_role("link", name=shot.link).first.click()
            page.wait_for_load_state("networkidle")
            page.screenshot(path=folder / f"{shot.name}.png")


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
