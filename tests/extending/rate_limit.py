"""A rate limit as an operator would write it: requests a minute for each key, with header lines and a refund."""

import time

from proxy.errors import RateLimited
from proxy.exchange.context import RequestContext
from proxy.ledger.record import UsageRecord
from proxy.policies.base import GatewayState, Policy

LIMIT = 2
WINDOW_SECONDS = 60


class RateLimitPolicy(Policy):
    """Refuses a key's requests beyond `LIMIT` in a minute; those that the gateway itself has failed do not count."""

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        #: By the id of a key: the minute, and its requests.
        self._counts: dict[str, tuple[int, int]] = {}

    def admit(self, context: RequestContext) -> None:
        now = time.time()
        window, count = self._count(context, now)
        resets = WINDOW_SECONDS - int(now) % WINDOW_SECONDS
        remaining = max(LIMIT - count - 1, 0)
        context.lines += (
            f"x-ratelimit-limit-requests: {LIMIT}\r\n"
            f"x-ratelimit-remaining-requests: {remaining}\r\n"
            f"x-ratelimit-reset-requests: {resets}s\r\n"
        ).encode()
        if count >= LIMIT:
            raise RateLimited(f"No more than {LIMIT} requests a minute.", headers={"retry-after": str(resets)})
        self._counts[context.key.id] = window, count + 1

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        window, count = self._count(context, time.time())
        if final.status >= 500:
            self._counts[context.key.id] = window, max(count - 1, 0)

    def _count(self, context: RequestContext, now: float) -> tuple[int, int]:
        window = int(now) // WINDOW_SECONDS
        found = self._counts.get(context.key.id, (window, 0))
        return found if found[0] == window else (window, 0)
