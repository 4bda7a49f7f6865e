"""The demo provider with batches that are run and vector stores that are searched, for tests of the gateway."""

from starlette.types import ASGIApp

from proxy.demo import DemoSettings, demo_app
from tests.demo_provider import batches, vector_stores


def worked_demo_app(settings: DemoSettings) -> ASGIApp:
    """A demo provider whose batches and vector stores do what they say."""
    return demo_app(settings, (*batches.ROUTES, *vector_stores.ROUTES))
