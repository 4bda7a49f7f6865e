"""The command line in a fresh folder, as the tests of commands have it."""

from tests.cli.conftest import folder as folder
from tests.cli.conftest import run as run
