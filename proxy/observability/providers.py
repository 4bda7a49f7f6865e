"""The state of each upstream over all workers: what health endpoints report. It decides nothing and asks no upstream.

Each process writes what it knows of its pools to a small file in the data directory, from which the others read it:
counts add up, and an upstream that one worker has ejected is not wholly available. A file that was not renewed is that
of a process which ended.
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from proxy.errors import GatewayError, UpstreamDropped, UpstreamFailed, UpstreamTimeout
from proxy.upstream.pool import Pool
from proxy.upstream.prober import Prober

#: As circuit breakers call it: `open` is ejected, `half-open` is on trial after that.
Circuit = Literal["closed", "half-open", "open"]
FOLDER: Final = "health"
#: Seconds between two writings of a file, where something has changed and where not.
CHANGED_SECONDS: Final = 1.0
UNCHANGED_SECONDS: Final = 5.0
#: Seconds without a renewal after which a file counts no more.
STALE_SECONDS: Final = 20.0
#: Seconds for which what was read is used again.
CACHE_SECONDS: Final = 0.5
_CIRCUITS: Final[tuple[Circuit, ...]] = ("closed", "half-open", "open")
#: The summary of an error's status, with the first of its codes.
_STATUS: Final = re.compile(r"status ([0-9]{3})(?:, [a-z_]{3,40}\b)?")
_STATUSES_OF_UPSTREAMS: Final = ("401", "403", "407", "408", "429")
_log = logging.getLogger(__name__)


class ProviderState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one process, or all of them, know of an upstream. Moments are UTC, in seconds since 1970; 0.0 for none."""

    id: str
    circuit: Circuit = "closed"
    #: Since when the circuit is in this state.
    since: float = 0.0
    #: Ejections one after the other; those that were long ago do not count.
    ejections: int = 0
    responses: int = 0
    failures: int = 0
    #: Seconds to the first byte, a moving average.
    latency: float = 0.0
    last_error: str = ""
    failed_at: float = 0.0
    responded_at: float = 0.0
    #: Of how many processes it is ejected, and how many there are.
    ejected_by: int = 0
    processes: int = 1


class ProviderReport(msgspec.Struct, frozen=True):
    """A line of `GET /-/health/providers`. Times are RFC 3339, in UTC; null where there was none."""

    id: str
    #: It gets requests.
    healthy: bool
    circuit_state: Circuit
    #: Since when it is in this state.
    since: str | None
    ejections: int
    #: Workers that have ejected it, and workers that there are.
    ejected_by: int
    workers: int
    latency_ewma_ms: float
    request_count: int
    error_count: int
    #: Of the requests, from 0 to 1; 0 where there were none.
    success_rate: float
    last_error: str | None
    last_error_time: str | None
    last_success_time: str | None


class Providers:
    """The upstreams of this process's pools, and what the other workers know of them."""

    def __init__(self, data_dir: Path, pools: Callable[[], Mapping[str, Pool]]) -> None:
        #: Pools of earlier configurations; requests of theirs still run.
        self.retired: list[Pool] = []
        self.prober = Prober(pools)
        self._folder = data_dir / FOLDER
        self._path = self._folder / f"{os.getpid()}.json"
        self._pools = pools
        self._written = b""
        self._written_at = 0.0
        self._writing: asyncio.Future[None] | None = None
        self._read: tuple[float, list[ProviderState]] = (0.0, [])
        self._failed = False

    def sweep(self) -> None:
        """Write the file where it is time to: called often."""
        now = time.monotonic()
        if now - self._written_at < CHANGED_SECONDS or (self._writing is not None and not self._writing.done()):
            return
        data = msgspec.json.encode(self.own())
        if data != self._written or now - self._written_at >= UNCHANGED_SECONDS:
            self._written, self._written_at = data, now
            self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, data)

    async def stop(self) -> None:
        """Remove the file."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    def own(self) -> list[ProviderState]:
        """What this process knows."""
        now, offset = time.monotonic(), time.time() - time.monotonic()
        return [_state(pool, now, offset) for pool in self._pools().values()]

    async def states(self) -> list[ProviderState]:
        """What all processes know, one state an upstream of the configuration, in its order."""
        now = time.monotonic()
        read_at, others = self._read
        if now - read_at >= CACHE_SECONDS or not read_at:
            others = await asyncio.to_thread(self._others)
            self._read = now, others
        return [merged([one, *(other for other in others if other.id == one.id)]) for one in self.own()]

    async def reports(self, only: Iterable[str] | None = None) -> list[ProviderReport]:
        """The lines of `GET /-/health/providers`; of some upstreams only, where `only` names them."""
        wanted = None if only is None else frozenset(only)
        return [report_of(state) for state in await self.states() if wanted is None or state.id in wanted]

    # What follows runs in a thread.

    def _write(self, data: bytes) -> None:
        part = self._path.with_suffix(".part")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            part.write_bytes(data)
            part.replace(self._path)
        except OSError as error:
            if not self._failed:
                _log.warning("other workers cannot see the state of upstreams: %s: %s", self._path, error.strerror)
            self._failed = True
        else:
            self._failed = False

    def _others(self) -> list[ProviderState]:
        oldest = time.time() - STALE_SECONDS
        found: list[ProviderState] = []
        for path in self._folder.glob("*.json"):
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)
                elif path != self._path:
                    found += msgspec.json.decode(path.read_bytes(), type=list[ProviderState])
            except (OSError, msgspec.DecodeError) as error:
                _log.debug("%s is left out: %s", path, error)
        return found


def _state(pool: Pool, now: float, offset: float) -> ProviderState:
    health, traffic = pool.health, pool.health.traffic
    circuit: Circuit = "closed"
    if health.ejected:
        circuit = "half-open" if health.may_try(now) else "open"
    return ProviderState(
        pool.name,
        circuit,
        _moment(health.since, offset),
        health.ejections,
        traffic.responses,
        traffic.failures,
        round(traffic.latency, 6),
        traffic.last_error,
        _moment(traffic.failed_at, offset),
        _moment(traffic.responded_at, offset),
        int(health.ejected),
    )


def _moment(monotonic: float, offset: float) -> float:
    """A monotonic time as seconds since 1970, in tenths, so that it does not change with each look."""
    return round(monotonic + offset, 1) if monotonic else 0.0


def merged(states: Sequence[ProviderState]) -> ProviderState:
    """What several processes know of one upstream: counts add up, the worst circuit and the newest error count."""
    if len(states) == 1:
        return states[0]
    circuit = max((state.circuit for state in states), key=_CIRCUITS.index)
    responses = sum(state.responses for state in states)
    last = max(states, key=lambda state: state.failed_at)
    return ProviderState(
        states[0].id,
        circuit,
        max(state.since for state in states if state.circuit == circuit),
        max(state.ejections for state in states),
        responses,
        sum(state.failures for state in states),
        sum(state.latency * state.responses for state in states) / responses if responses else 0.0,
        last.last_error,
        last.failed_at,
        max(state.responded_at for state in states),
        sum(state.ejected_by for state in states),
        len(states),
    )


def report_of(state: ProviderState) -> ProviderReport:
    """A state as the admin API shows it."""
    requests = state.responses + state.failures
    return ProviderReport(
        id=state.id,
        healthy=state.circuit != "open",
        circuit_state=state.circuit,
        since=_text(state.since),
        ejections=state.ejections,
        ejected_by=state.ejected_by,
        workers=state.processes,
        latency_ewma_ms=round(state.latency * 1_000, 3),
        request_count=requests,
        error_count=state.failures,
        success_rate=round(state.responses / requests, 6) if requests else 0.0,
        last_error=state.last_error or None,
        last_error_time=_text(state.failed_at),
        last_success_time=_text(state.responded_at),
    )


def reason_of(error: GatewayError) -> str:
    """Why an attempt failed, where that is the upstream's fault; else empty.

    Of a provider's words only a code in small letters is in it: no address, key, model or sentence.
    """
    if not isinstance(error, UpstreamFailed) or error.fault != "upstream":
        return ""
    if (isinstance(error, UpstreamTimeout) and error.early) or (isinstance(error, UpstreamDropped) and error.reused):
        return ""
    match = _STATUS.match(error.detail)
    if match is None:
        return f"{error.code}: {error.logged}"
    if match[1][0] == "4" and match[1] not in _STATUSES_OF_UPSTREAMS:
        # It is about the client's request.
        return ""
    return match[0]


def _text(moment: float) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)) if moment else None
