"""`admin token`: says where the token of the admin API is, shows it, and replaces it.

The token goes to stdout, and only where it is asked for.
"""

import click

from proxy.admin.token import TokenFile
from proxy.cli.options import Place, store_options
from proxy.cli.output import print_json, print_line, print_note
from proxy.cli.usage_errors import Group
from proxy.ledger.ledger import prepare


@click.group(cls=Group)
def command() -> None:
    """Say where the token of the admin API is, show it, and replace it."""


@command.command()
@click.option("--show", is_flag=True, help="Print the token itself.")
@click.option("--rotate", is_flag=True, help="Replace it by a new one; a running gateway refuses the old one at once.")
@store_options
def token(show: bool, rotate: bool, place: Place, as_json: bool) -> None:
    """Say where the admin token is; one is made at the first start of the gateway, or here with --rotate."""
    config = place.config()
    if config.admin.token:
        _configured(config.admin.token, show or rotate, as_json)
        return
    file = TokenFile(place.directory())
    if rotate:
        prepare(file.path.parent)
        secret: str | None = file.rotate()
    else:
        secret = file.read()
    if as_json:
        found = {"path": str(file.path), "exists": secret is not None}
        print_json({**found, "token": secret} if show else found)
        return
    if secret is None:
        print_note(f"There is no admin token in {file.path} yet: it is made at the first start, or with --rotate.")
    elif show:
        print_line(secret)
    else:
        print_line(str(file.path))
    if rotate:
        print_note("The admin token was replaced.")
    if not config.admin.enabled:
        print_note("Note: admin.enabled is false in the configuration, so there is no admin API.")


def _configured(reference: str, wants_file: bool, as_json: bool) -> None:
    """The configuration owns the token. A reference is shown, what may be the token itself is not."""
    is_reference = reference.startswith(("${", "file:"))
    where = reference if is_reference else "the configuration file"
    if wants_file:
        raise click.ClickException(f"The admin token is that of admin.token in the configuration: {where}.")
    if as_json:
        print_json({"path": None, "exists": True, "setting": where})
    else:
        print_line(where)
