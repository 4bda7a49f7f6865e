"""The command line. This file only names its entry; importing it must stay cheap."""

from proxy.cli.group import main

__all__ = ["main"]
