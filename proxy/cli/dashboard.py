"""`dashboard`: prints a link that signs an admin in to the dashboard, once, within ten minutes.

A user who may write to the data directory is an admin; the link is as good as the admin token while it lasts.
"""

import asyncio
import time
from pathlib import Path

import click

from proxy.cli.options import Place, store_options
from proxy.cli.output import print_json, print_line, print_note
from proxy.cli.ready_block import callable_url
from proxy.config.tree import Config
from proxy.ledger.ledger import prepare
from proxy.pages.session_store import SessionStore
from proxy.pages.sessions import LINK_SECONDS, make_link


@click.command()
@click.option("--url", metavar="URL", help="Address of the running gateway, where the configuration does not have it.")
@store_options
def command(url: str | None, place: Place, as_json: bool) -> None:
    """Print a link that signs an admin in to the dashboard, once, within ten minutes."""
    config = place.config()
    if not config.pages.dashboard or not config.admin.enabled:
        setting = "admin.enabled" if config.pages.dashboard else "pages.dashboard"
        raise click.ClickException(f"{setting} is false in the configuration: no admin can sign in to a dashboard.")
    base = (url or _base_url(config)).rstrip("/")
    link = asyncio.run(sign_in_link(place.directory(), base))
    if as_json:
        print_json({"url": link, "expires_in": LINK_SECONDS})
    else:
        print_line(link)
        print_note("It signs an admin in once, within ten minutes.")


async def sign_in_link(data_dir: Path, base: str) -> str:
    """A new link, for the gateway at a base URL. Raises `StoreFailed`."""
    prepare(data_dir)
    store = SessionStore(data_dir)
    try:
        return f"{base}/dashboard/sign-in/{await make_link(store, time.time())}"
    finally:
        await store.close()


def _base_url(config: Config) -> str:
    """Where an admin reaches the gateway, by its configuration."""
    server, listen = config.server, config.admin.listen
    if listen.startswith("unix:"):
        raise click.ClickException(
            f"The admin API is at a Unix socket ({listen}), which no browser opens. Forward a port to it, such as with "
            "`ssh -L 8081:SOCKET`, and name that: --url http://127.0.0.1:8081"
        )
    if listen:
        return callable_url(f"http://{listen}")
    if server.public_url:
        return server.public_url
    if not server.port:
        raise click.ClickException("server.port is 0, so the address is not known here: name it with --url.")
    host = f"[{server.host}]" if ":" in server.host else server.host
    return callable_url(f"http://{host}:{server.port}")
