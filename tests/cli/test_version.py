"""`version`."""

import json

from proxy import __version__
from tests.cli.conftest import Run


def test_the_version_is_printed(run: Run) -> None:
    assert run("version").stdout == f"prometheus-gateway {__version__}\n"


def test_as_json(run: Run) -> None:
    assert json.loads(run("version", "--json").stdout)["version"] == __version__
