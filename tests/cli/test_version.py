"""`version`."""

import json

from proxy import __version__
from proxy.exchange import exchange
from tests.cli.conftest import Run


def test_the_version_is_printed(run: Run) -> None:
    assert run("version").stdout.strip().removesuffix(" (compiled)") == f"prometheus-gateway {__version__}"


def test_as_json(run: Run) -> None:
    assert json.loads(run("version", "--json").stdout)["version"] == __version__


def test_it_says_whether_the_code_of_requests_is_compiled(run: Run) -> None:
    assert json.loads(run("version", "--json").stdout)["compiled"] == (not exchange.__file__.endswith(".py"))
