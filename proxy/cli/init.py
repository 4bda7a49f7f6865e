"""`init`: writes a configuration file to start from, and never over another one unasked."""

import shlex
from pathlib import Path

import click

from proxy.cli.example import EXAMPLE
from proxy.cli.options import DEFAULT_FILE, as_json
from proxy.cli.output import print_json, print_line, print_note


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=DEFAULT_FILE)
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
@as_json
def command(file: Path, force: bool, as_json: bool) -> None:
    """Write a configuration FILE to start from (default: prometheus.toml)."""
    try:
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(EXAMPLE)
    except FileExistsError as error:
        raise click.ClickException(
            f"{file} is there already: name another file, or overwrite it with --force."
        ) from error
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from error
    if as_json:
        print_json({"file": str(file)})
    else:
        print_line(str(file))
    option = [] if file == DEFAULT_FILE else ["--config", str(file)]
    print_note("Next:")
    print_note("  export OPENAI_API_KEY=…")
    for words in ("config check", "doctor", "keys create NAME", "serve"):
        print_note("  " + shlex.join(["prometheus-gateway", *words.split(), *option]))
    print_note("Chats and Messages are translated into each other; other formats need a provider of theirs.")
