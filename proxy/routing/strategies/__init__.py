"""The strategies by which a target is chosen: one file each, and one line in the table below."""

from typing import Final

from proxy.routing.strategies.base import Strategy
from proxy.routing.strategies.cheapest import Cheapest
from proxy.routing.strategies.fastest import Fastest
from proxy.routing.strategies.least_busy import LeastBusy
from proxy.routing.strategies.order import InOrder
from proxy.routing.strategies.weighted import Weighted

#: By the name that `strategy` has in the configuration (`Strategy` in `proxy.config.tree`).
STRATEGIES: Final[dict[str, type[Strategy]]] = {
    "order": InOrder,
    "weighted": Weighted,
    "fastest": Fastest,
    "least-busy": LeastBusy,
    "cheapest": Cheapest,
}
