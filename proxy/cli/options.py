"""The options that commands share, and how a command finds its configuration and its data.

No command's own work is done here.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import click

from proxy.config.load import load
from proxy.config.tree import Config

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


def store_directory(config_path: Path | None, data_dir: Path | None) -> Path:
    """The data directory. Raises ConfigFault when the configuration is needed for that and faulty."""
    return data_dir if data_dir is not None else Path(configured(config_path).server.data_dir)
