"""A folder of its own for a gateway that runs as a process."""

from tests.cli.conftest import folder as folder
