"""Active probes: a GET of the models of each upstream that has a `probe_interval`, on the connections of its requests.

Each worker probes for itself, as it judges its upstreams by itself. A good response ends an ejection whose time is
over, in place of a client's request; a failure counts like one of a request.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from proxy.errors import GatewayError, Overloaded
from proxy.upstream.client import UpstreamRequest
from proxy.upstream.pool import Pool
from proxy.upstream.target import models_request
from proxy.upstream.warmup import MAX_RESPONSE_BYTES

#: Longest wait for a response, in seconds.
MAX_RESPONSE_SECONDS: Final = 10.0
#: Statuses that say something about the gateway's own credential.
_REFUSALS: Final = (401, 403)
#: As of requests: those that come from a server in front of the upstream.
_GATEWAY_STATUSES: Final = (502, 503, 504, 529)
_log = logging.getLogger(__name__)


class Prober:
    """Probes the pools of a gateway. `sweep` is called often, and begins what is due."""

    def __init__(self, pools: Callable[[], Mapping[str, Pool]]) -> None:
        """`pools` are those of the configuration in force."""
        self._pools = pools
        #: When each upstream was last probed, and the probes that run.
        self._begun: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def sweep(self) -> None:
        """Begin the probes that are due; one at a time for each upstream."""
        now = time.monotonic()
        for name, pool in self._pools().items():
            interval = pool.upstream.probe_interval
            if not interval or name in self._running:
                continue
            # The first one when an interval is over: at start the connections are warmed up.
            if now - self._begun.setdefault(name, now) >= interval:
                self._begun[name] = now
                task = asyncio.create_task(self.probe(pool), name=f"probe-{name}")
                self._running[name] = task
                task.add_done_callback(lambda _, name=name: self._running.pop(name, None))  # type: ignore[misc]

    async def stop(self) -> None:
        """End the probes that run."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def probe(self, pool: Pool) -> None:
        """Probe one upstream and note the outcome."""
        began = time.monotonic()
        request = UpstreamRequest(pool)
        failure: tuple[str, bool] | None = None
        try:
            async with asyncio.timeout(MAX_RESPONSE_SECONDS):
                await request.send(models_request(pool.upstream))
                seconds = time.monotonic() - began
                await request.read_prefix(MAX_RESPONSE_BYTES)
        except Overloaded:
            # All connections are in use by requests, which say enough.
            return
        except TimeoutError:
            failure = "probe: no response in time", True
        except GatewayError as error:
            failure = f"probe: {error.code}", True
        finally:
            request.close()
        now = time.monotonic()
        if failure is None and request.status >= 500:
            failure = f"probe: status {request.status}", request.status in _GATEWAY_STATUSES
        if failure is not None:
            self._failed(pool, *failure, now)
        elif request.status in _REFUSALS:
            # A list of models may need other rights than requests: it is shown, and ejects nothing.
            pool.health.traffic.failed(f"probe: the credential is refused (status {request.status})", now)
        else:
            pool.health.traffic.responded(seconds, now)
            if pool.health.may_try(now) and pool.health.succeeded(now):
                _log.warning("upstream %s responds again", pool.name)

    def _failed(self, pool: Pool, why: str, gateway: bool, now: float) -> None:
        pool.health.traffic.failed(why, now)
        seconds = pool.health.failed(now, gateway=gateway)
        if seconds:
            _log.warning("upstream %s is ejected for %.0f seconds after a %s", pool.name, seconds, why)
