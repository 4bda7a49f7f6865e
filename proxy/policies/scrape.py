"""A scrape: what Prometheus gets of a gateway's metrics. Who may scrape is checked by the caller."""

import asyncio
from collections.abc import Iterable

from proxy.observability.exposition import OPENMETRICS_TYPE, TEXT_TYPE, render, wants_openmetrics
from proxy.observability.metrics import OTHER
from proxy.policies.base import GatewayState

#: Labels whose values are names of upstreams.
UPSTREAM_LABELS = frozenset({"upstream", "provider"})


async def scrape(state: GatewayState, accept: str, *, is_open: bool) -> tuple[bytes, str]:
    """The metrics of all workers, in the format that an Accept header asks for, and its content type.

    `is_open` says that anyone may read it: upstreams are then t1, t2, … in the order of the configuration.
    """
    openmetrics = wants_openmetrics(accept)
    visible = Pseudonyms(state.config.upstreams).visible if is_open else None
    read = state.metrics.read()
    # Beside the event loop: with many aliases it takes milliseconds.
    body = await asyncio.to_thread(lambda: render(read(), openmetrics, visible))
    return body, OPENMETRICS_TYPE if openmetrics else TEXT_TYPE


class Pseudonyms:
    """What the names of upstreams are for those who may not know them."""

    def __init__(self, upstreams: Iterable[str]) -> None:
        self._names = {name: f"t{number}" for number, name in enumerate(upstreams, 1)}

    def visible(self, label: str, value: str) -> str:
        if label not in UPSTREAM_LABELS or not value:
            return value
        # One that the configuration does not have any more.
        return self._names.get(value, OTHER)
