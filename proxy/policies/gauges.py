"""The gauges of a gateway: what is under way, what is behind, and how the upstreams are. Read at a scrape."""

import platform
import time
from collections.abc import Mapping
from typing import Final

from proxy import __version__
from proxy.exchange import exchange
from proxy.observability.metrics import Labels
from proxy.policies.base import GatewayState
from proxy.upstream.pool import Pool

_NONE: Final = ()


class GatewayGauges:
    """Reads the gauges of one worker."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._started = time.time()

    def in_flight(self) -> Mapping[Labels, float]:
        return {_NONE: self._state.overload.in_flight}

    def overload_grade(self) -> Mapping[Labels, float]:
        return {_NONE: self._state.overload.grade}

    def loop_lag(self) -> Mapping[Labels, float]:
        return {_NONE: self._state.overload.loop.lag}

    def memory(self) -> Mapping[Labels, float]:
        return {_NONE: self._state.overload.readings.resident()}

    def journal_bytes(self) -> Mapping[Labels, float]:
        journal = self._state.overload.journal
        return {_NONE: journal.unstored if journal is not None else 0}

    def journal_ratio(self) -> Mapping[Labels, float]:
        journal = self._state.overload.journal
        return {_NONE: journal.fullness if journal is not None else 0.0}

    def workers(self) -> Mapping[Labels, float]:
        return {_NONE: 1}

    def started(self) -> Mapping[Labels, float]:
        return {_NONE: self._started}

    def build(self) -> Mapping[Labels, float]:
        kind = "no" if exchange.__file__.endswith(".py") else "yes"
        return {(__version__, platform.python_version(), kind): 1}

    def config(self) -> Mapping[Labels, float]:
        config = self._state.config
        return {(str(len(config.models)), str(len(config.upstreams)), config.server.durability): 1}

    def ejected(self) -> Mapping[Labels, float]:
        return {(name,): float(pool.health.ejected) for name, pool in self._pools().items()}

    def connections(self) -> Mapping[Labels, float]:
        found: dict[Labels, float] = {}
        for name, pool in self._pools().items():
            found |= {(name, "busy"): pool.busy, (name, "idle"): pool.idle, (name, "opening"): pool.opening}
        return found

    def _pools(self) -> dict[str, Pool]:
        """Those that an alias uses."""
        targets = (target for alias in self._state.aliases.values() for target in alias.targets)
        return {target.pool.name: target.pool for target in targets}


def add_gauges(state: GatewayState) -> None:
    """Add the gateway's gauges to its metrics."""
    read, add = GatewayGauges(state), state.metrics.gauge
    prefix = "prometheus_gateway_"
    add(f"{prefix}in_flight_requests", "Requests under way.", read.in_flight)
    add(
        f"{prefix}overload_grade",
        "How short of something the worst worker is; 0 is not.",
        read.overload_grade,
        merge="max",
    )
    add(
        f"{prefix}event_loop_lag_seconds",
        "By how much the event loop of the worst worker is late repeatedly.",
        read.loop_lag,
        merge="max",
    )
    add(f"{prefix}resident_memory_bytes", "Resident memory of all workers.", read.memory)
    add(f"{prefix}journal_lag_bytes", "Bills in the journal that the database has not taken yet.", read.journal_bytes)
    add(
        f"{prefix}journal_full_ratio",
        "The same as a ratio of what may wait, of the worst worker; at 1 no work is taken.",
        read.journal_ratio,
        merge="max",
    )
    add(f"{prefix}workers", "Workers that serve.", read.workers)
    add(
        f"{prefix}start_time_seconds", "When the oldest worker began, in seconds since 1970.", read.started, merge="min"
    )
    add(
        f"{prefix}build_info",
        "The version that runs; always 1.",
        read.build,
        "version",
        "python",
        "compiled",
        merge="max",
    )
    add(
        f"{prefix}config_info",
        "What is configured; always 1.",
        read.config,
        "models",
        "upstreams",
        "durability",
        merge="max",
    )
    add(
        f"{prefix}upstream_ejected",
        "Whether a worker has ejected the upstream for its failures.",
        read.ejected,
        "upstream",
        merge="max",
    )
    add(f"{prefix}upstream_connections", "Connections to upstreams.", read.connections, "upstream", "state")
