"""The options that commands share, and how a command finds its configuration, its data and its store.

No command's own work is done here.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from proxy.auth.store import Store
from proxy.config.file_budgets import owner_in_file
from proxy.config.load import load
from proxy.config.tree import Config
from proxy.ledger.ledger import prepare

T = TypeVar("T")
Work = Callable[[Store], Awaitable[T]]

#: Used when it stands in the working directory and no other is named.
DEFAULT_FILE = Path("prometheus.toml")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
config_file = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration. Default: prometheus.toml in the working directory, if there.",
)
data_directory = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The data directory; wins over the configuration's. Default: data.",
)


def chosen_file(config_path: Path | None) -> Path | None:
    """The configuration file to use: the one named, else the default one if it is there."""
    if config_path is None and DEFAULT_FILE.exists():
        return DEFAULT_FILE
    return config_path


def configured(config_path: Path | None, environment: Mapping[str, str] | None = None) -> Config:
    """The configuration of the file, or the defaults when there is none. Raises ConfigFault.

    Without an `environment`, references stay as they are written: to list keys no upstream's credential is needed.
    """
    path = chosen_file(config_path)
    return Config() if path is None else load(path, environment)


def resolved(config_path: Path | None) -> Config:
    """The configuration as `serve` loads it, with its references resolved. Raises ConfigFault."""
    return configured(config_path, os.environ)


class Place(NamedTuple):
    """The configuration file and the data directory that a command was given. Methods raise ConfigFault."""

    config_path: Path | None = None
    data_dir: Path | None = None

    def config(self) -> Config:
        """The configuration, its references as they are written."""
        return configured(self.config_path)

    def directory(self) -> Path:
        """The data directory; the configuration is read only where it is needed for that."""
        return self.data_dir if self.data_dir is not None else Path(self.config().server.data_dir)

    def in_store(self, work: Work[T]) -> T:
        """The result of work in the store of the data directory, which is made where it is missing."""
        server, directory = self.config().server, self.directory()
        owner = owner_in_file(chosen_file(self.config_path))

        async def inner() -> T:
            prepare(directory)
            async with Store(directory, prefix=server.key_prefix, owner=owner) as store:
                return await work(store)

        return asyncio.run(inner())

    def has_store(self) -> bool:
        """Whether anything was ever created in the data directory."""
        return (self.directory() / "keys.db").exists()

    def in_existing_store(self, work: Work[T]) -> T | None:
        """The result of work that only looks: None where there is no store, and none is made."""
        return self.in_store(work) if self.has_store() else None

    def looked_up(self, work: Work[T]) -> T:
        """The same for work on what must be there."""
        found = self.in_existing_store(work)
        if found is None:
            raise click.ClickException("Nothing was created in this data directory yet; --data-dir names another one.")
        return found


def in_scratch_store(work: Work[T]) -> T:
    """The result of work in an empty store that is removed afterwards."""

    async def inner() -> T:
        with tempfile.TemporaryDirectory() as directory:
            async with Store(Path(directory)) as store:
                return await work(store)

    return asyncio.run(inner())


def store_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --config, --data-dir and --json to a command, which gets the first two as `place`."""

    @config_file
    @data_directory
    @as_json
    @wraps(command)
    def with_place(*args: Any, config_path: Path | None, data_dir: Path | None, **options: Any) -> None:
        command(*args, place=Place(config_path, data_dir), **options)

    return with_place
