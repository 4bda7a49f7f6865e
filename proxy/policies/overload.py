"""OverloadPolicy: new requests are refused while the process is short of memory, time, descriptors or journal."""

from typing import ClassVar

from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin
from proxy.policies.base import Policy


class OverloadPolicy(Policy):
    """Asks the monitor of the process. The first policy: what it refuses costs no more than the key's look-up."""

    before_body: ClassVar[bool] = True

    def admit(self, context: RequestContext) -> Origin | None:
        """Raises `Overloaded`, and `StoreFailed` while no row could be kept."""
        self.state.overload.admit()
        return None
