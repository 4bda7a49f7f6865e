"""`version`: what runs here. Imports nothing but click, so that it answers at once."""

import json
import platform

import click

from proxy import __version__


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(as_json: bool) -> None:
    """Print the version."""
    if as_json:
        click.echo(json.dumps({"version": __version__, "python": platform.python_version()}))
    else:
        click.echo(f"prometheus-gateway {__version__}")
