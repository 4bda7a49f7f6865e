"""`serve`: run the gateway; without a configuration, the demo on the built-in provider."""

import asyncio
import functools
import os
import time
from pathlib import Path

import click
import uvloop

from proxy.cli import demo_key
from proxy.cli.dashboard import sign_in_link
from proxy.cli.options import as_json, chosen_file, config_file, data_directory
from proxy.cli.ready_block import ReadyBlock, callable_url, has_keys
from proxy.cli.usage_errors import Number
from proxy.config.rules import listen_host
from proxy.config.tree import Config
from proxy.demo import DemoSettings, demo_app, demo_config
from proxy.ledger.sample import add_sample
from proxy.observability.messages import configure_logging
from proxy.process.reload import ConfigSource, overridden
from proxy.process.run import BuiltInProvider
from proxy.process.single import serve_single
from proxy.process.socket_activation import adopt, inherited_descriptors
from proxy.process.systemd import Notifier
from proxy.process.workers import WorkerGroup
from proxy.server.listener import CannotListen, address, bind, bind_each, bind_text

#: In the environment where `make run` starts it, whose options are spelled otherwise.
_MADE = "PROMETHEUS_GATEWAY_MADE"


def _checked_host(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    for message, hint in () if value is None else listen_host(value):
        raise click.BadParameter(f"'{value}' {message}: {hint}")
    return value


@click.command()
@config_file
@data_directory
@click.option("--host", callback=_checked_host, help="Address to listen on; wins over the configuration's.")
@click.option("--port", type=Number(0, 65535), help="Port to listen on; 0 picks a free one.")
@click.option("--workers", type=Number(1, 256), help="Worker processes.")
@click.option(
    "--fd",
    "descriptors",
    type=Number(0),
    multiple=True,
    metavar="N",
    help="Listen on this inherited socket instead; systemd's are found without it.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colour access lines; auto: on a terminal, unless NO_COLOR is set.",
)
@click.option("--sample-data", is_flag=True, help="Fill the demo's ledger with a month of made-up requests, marked so.")
@as_json
def command(
    config_path: Path | None,
    data_dir: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    descriptors: tuple[int, ...],
    color: str,
    sample_data: bool,
    as_json: bool,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; SIGHUP reads the configuration again.

    Without a configuration it is a demo: all eight aliases on a built-in provider that costs nothing and calls no one,
    with a key that is printed at every start and stays the same.
    """
    if color != "auto":
        # Here it is also found by the workers.
        os.environ.pop("NO_COLOR", None)
        os.environ["FORCE_COLOR"] = "1" if color == "always" else "0"
    configure_logging()
    path = chosen_file(config_path)
    given = {"host": host, "port": port, "workers": workers, "data_dir": str(data_dir) if data_dir else None}
    overrides = {name: value for name, value in given.items() if value is not None}
    source = ConfigSource(path, overrides) if path is not None else None
    config = overridden(Config(), overrides)
    if source is not None and sample_data:
        raise click.UsageError(
            f"--sample-data is for the demo alone, and {path} configures a gateway: its ledger keeps only what was "
            "requested. Start without a configuration, and with a --data-dir of its own"
        )
    if source is not None:
        config = source.read().config
        source.applied(config)
    server = config.server
    inherited = adopt(descriptors or inherited_descriptors(os.environ))
    try:
        sockets = inherited or bind_each(server.host, server.port, server.workers)
        admin_socket = bind_text(config.admin.listen) if config.admin.listen and config.admin.enabled else None
    except CannotListen as error:
        hint = " (make run PORT=8090, or make run ARGS='--host …')" if _MADE in os.environ else ""
        raise click.ClickException(f"{error}{hint}") from error
    directory = Path(server.data_dir)
    provider: BuiltInProvider | None = None
    if source is None:
        settings, sock = DemoSettings(), bind("127.0.0.1", 0)
        config = demo_config(sock.getsockname()[1], settings, config.server)
        key = demo_key.load_or_create(directory, server.key_prefix)
        if sample_data:
            add_sample(directory, config.models, int(time.time()))
        provider = BuiltInProvider(sock, functools.partial(demo_app, settings), key)
    url, link = address(sockets[0]), ""
    if provider is not None:
        link = asyncio.run(sign_in_link(directory, callable_url(url)))
    ready = ReadyBlock(
        config,
        url,
        demo_secret=provider.key if provider is not None else "",
        link=link,
        keyless=provider is None and not asyncio.run(has_keys(directory)),
        options=_repeated(config_path, data_dir),
        as_json=as_json,
    ).print
    notifier = Notifier(os.environ)
    if server.workers > 1:
        # Sockets that were bound here are one for each worker.
        own = not inherited and len(sockets) == server.workers
        WorkerGroup(config, sockets, own, source, notifier, url, ready, provider, admin_socket).run()
    else:
        uvloop.run(serve_single(config, sockets, source, notifier, url, ready, provider, admin_socket))


def _repeated(config_path: Path | None, data_dir: Path | None) -> list[str]:
    """The options that another command needs, to mean the same gateway."""
    given = {"--config": config_path, "--data-dir": data_dir}
    return [word for name, path in given.items() if path is not None for word in (name, str(path))]
