"""The running provider of the demo's tests, for the tests of this folder."""

from tests.demo.conftest import provider as provider
from tests.demo.conftest import sdk as sdk
