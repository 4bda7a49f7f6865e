"""`version`: what runs here. Imports nothing that takes time, so that it answers at once."""

import importlib.util
import json
import platform

import click

from proxy import __version__


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(as_json: bool) -> None:
    """Print the version."""
    if as_json:
        about = {"version": __version__, "python": platform.python_version(), "compiled": is_compiled()}
        click.echo(json.dumps(about))
    else:
        click.echo(f"prometheus-gateway {__version__}{' (compiled)' if is_compiled() else ''}")


def is_compiled() -> bool:
    """Whether the code that requests run through is that of a compiled wheel."""
    spec = importlib.util.find_spec("proxy.exchange.exchange")
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")
