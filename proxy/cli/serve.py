"""`serve`: run the gateway; without a configuration, the demo on the built-in provider."""

import asyncio
import gc
import logging
import os
import secrets
import sys
from pathlib import Path

import click
import msgspec
import uvloop

from proxy.app import Gateway
from proxy.cli.options import as_json, chosen_file, config_file, data_directory
from proxy.config.load import load
from proxy.config.tree import Config
from proxy.demo import DemoSettings, demo_app, demo_config
from proxy.errors import ConfigFault
from proxy.server.listener import InnerServer, Listener, address, bind


@click.command()
@config_file
@data_directory
@click.option("--host", help="Address to listen on; wins over the configuration's.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes.")
@as_json
def command(
    config_path: Path | None,
    data_dir: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Without a configuration it is a demo: all eight aliases on a built-in provider that costs nothing and calls nobody,
    with a key that is printed at every start.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    path = chosen_file(config_path)
    config = load(path, os.environ) if path is not None else Config()
    given = {"host": host, "port": port, "workers": workers, "data_dir": str(data_dir) if data_dir else None}
    server = msgspec.structs.replace(
        config.server, **{name: value for name, value in given.items() if value is not None}
    )
    if server.workers > 1:
        raise ConfigFault("server.workers: more than one worker is not supported yet; use 1")
    config = msgspec.structs.replace(config, server=server)
    uvloop.run(_serve(config, demo=path is None, as_json=as_json))


async def _serve(config: Config, *, demo: bool, as_json: bool) -> None:
    listening = bind(config.server.host, config.server.port)
    provider: InnerServer | None = None
    provider_task: asyncio.Task[None] | None = None
    if demo:
        settings = DemoSettings()
        provider_socket = bind("127.0.0.1", 0)
        config = demo_config(provider_socket.getsockname()[1], settings, config.server)
        provider = InnerServer(demo_app(settings))
        provider_task = asyncio.create_task(provider.serve(sockets=[provider_socket]), name="demo-provider")
    gateway = Gateway(config, sys.stdout)
    try:
        await gateway.start()
        secret = ""
        if demo:
            secret = config.server.key_prefix + secrets.token_urlsafe(32)
            gateway.keys.remember("demo", secret)
        url = address(listening)
        ready = _ready_json if as_json else _ready_text

        def is_ready() -> None:
            _settle_process()
            ready(config, url, secret)

        listener = Listener(gateway.app, config.server, is_ready, draining=gateway.drain, interrupt=gateway.interrupt)
        await listener.serve(sockets=[listening])
    finally:
        await gateway.stop()
        if provider is not None and provider_task is not None:
            provider.should_exit = True
            await provider_task


def _settle_process() -> None:
    """Keep what is not a request out of the requests' way.

    The collector need not look at what lives as long as the process, and requests leave it nothing. The threads that
    store rows and write lines give the interpreter back after half a millisecond, not five.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(0.0005)


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
