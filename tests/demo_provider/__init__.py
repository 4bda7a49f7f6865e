"""The demo provider for tests of the gateway: its batches, runs, uploads and searches do their work."""

from starlette.types import ASGIApp

from proxy.demo import DemoSettings, demo_app
from tests.demo_provider import batches, threads, uploads, vector_stores


def worked_demo_app(settings: DemoSettings) -> ASGIApp:
    """A demo provider whose batches, threads, uploads and vector stores do what they say."""
    return demo_app(settings, (*batches.ROUTES, *threads.ROUTES, *uploads.ROUTES, *vector_stores.ROUTES))
