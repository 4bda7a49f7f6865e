"""`serve`: run the gateway; without a configuration, the demo on the built-in provider."""

import logging
import os
import secrets
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import msgspec
import uvloop

from proxy.cli.alone import serve_alone
from proxy.cli.crew import Crew
from proxy.cli.options import as_json, chosen_file, config_file, data_directory
from proxy.cli.reloading import Source, overridden
from proxy.config.tree import Config
from proxy.demo import DemoSettings, demo_config
from proxy.server.inherit import adopt, handed_over
from proxy.server.listener import address, bind, bind_each
from proxy.server.notify import Notifier


@click.command()
@config_file
@data_directory
@click.option("--host", help="Address to listen on; wins over the configuration's.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one.")
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes.")
@click.option(
    "--fd",
    "descriptors",
    type=click.IntRange(0),
    multiple=True,
    metavar="N",
    help="Listen on this inherited socket instead; systemd's are found without it.",
)
@as_json
def command(
    config_path: Path | None,
    data_dir: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    descriptors: tuple[int, ...],
    as_json: bool,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; SIGHUP reads the configuration again.

    Without a configuration it is a demo: all eight aliases on a built-in provider that costs nothing and calls nobody,
    with a key that is printed at every start.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("proxy").setLevel(logging.INFO)
    path = chosen_file(config_path)
    given = {"host": host, "port": port, "workers": workers, "data_dir": str(data_dir) if data_dir else None}
    over = {name: value for name, value in given.items() if value is not None}
    source = Source(path, over) if path is not None else None
    config = overridden(Config(), over)
    if source is not None:
        config = source.read().config
        source.taken(config)
    server = config.server
    inherited = adopt(descriptors or handed_over(os.environ))
    sockets = inherited or bind_each(server.host, server.port, server.workers)
    demo = None
    if source is None:
        settings = DemoSettings()
        provider = bind("127.0.0.1", 0)
        config = demo_config(provider.getsockname()[1], settings, config.server)
        demo = (provider, settings, config.server.key_prefix + secrets.token_urlsafe(32))
    url = address(sockets[0])
    key = demo[2] if demo is not None else ""
    ready: Callable[[], None] = partial(_ready_json if as_json else _ready_text, config, url, key)
    notifier = Notifier(os.environ)
    if server.workers > 1:
        # Sockets that were bound for workers are one for each.
        own = not inherited and len(sockets) == server.workers
        Crew(config, sockets, own, source, notifier, url, ready, demo).run()
    else:
        uvloop.run(serve_alone(config, sockets, source, notifier, url, ready, demo))


def _ready_text(config: Config, url: str, secret: str) -> None:
    lines = []
    if secret:
        lines = [
            "Prometheus Gateway demo: a make-believe provider, nothing is called and nothing costs anything.",
            f"Aliases: {', '.join(config.models)}",
            f"Key:     {secret}",
            "",
            "Try it:",
            "",
            f"curl -N {url}/v1/chat/completions \\",
            f"  -H 'Authorization: Bearer {secret}' \\",
            "  -H 'Content-Type: application/json' \\",
            """  -d '{"model": "prometheus-core", "stream": true, "messages": """
            """[{"role": "user", "content": "What is a gateway?"}]}'""",
            "",
            "Your own providers: prometheus-gateway init",
        ]
    elif not config.models:
        lines = ["No models are configured yet: every request will be a 404. See docs/configuration.md."]
    lines.append(f"Ready: {url}")
    print("\n".join(lines), flush=True)


def _ready_json(config: Config, url: str, secret: str) -> None:
    line: dict[str, object] = {"event": "ready", "url": url, "aliases": list(config.models)}
    if secret:
        line["key"] = secret
    print(msgspec.json.encode(line).decode(), flush=True)
