"""The composition root: a configuration becomes a running gateway and its Starlette app.

The only file that knows all the others; everything that lives as long as a gateway is made here and kept on an object.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

from proxy.admin.api import AdminApi
from proxy.admin.nodes import Nodes
from proxy.admin.provider_keys import ProviderKeys, with_promoted
from proxy.admin.services import AdminServices, Control
from proxy.admin.table import ROWS
from proxy.auth.key_index import KeyIndex
from proxy.auth.store import Store
from proxy.clock.sweeper import TimeoutSweeper
from proxy.config.changes import Changes, applicable, changes
from proxy.config.tree import Config, Upstream
from proxy.endpoints.health import Health
from proxy.endpoints.router import Mount, MountRouter, Router, Routes
from proxy.endpoints.table import endpoint_of, endpoints_by_format
from proxy.errors import ConfigFault, GatewayError, StoreFailed, UpstreamFailed
from proxy.exchange.audio_length import AudioMeter
from proxy.exchange.context import RequestContext
from proxy.exchange.services import Services
from proxy.ledger.ledger import Ledger
from proxy.limits.counters import SharedCounters
from proxy.observability.access_log import AccessLog
from proxy.observability.metrics import Metrics
from proxy.observability.metrics_memory import MetricsMemory
from proxy.observability.providers import Providers, reason_of
from proxy.observability.readiness import Readiness
from proxy.overload.monitor import Overload
from proxy.overload.readings import Readings
from proxy.pages.services import PageServices
from proxy.pages.sessions import Sessions
from proxy.pages.site import Site
from proxy.pages.static import StaticFiles
from proxy.pages.table import PAGES
from proxy.pages.templates import Templates
from proxy.policies import POLICIES
from proxy.policies.admission import Admission
from proxy.policies.base import EndpointPaths, GatewayState, Policy
from proxy.policies.routing import fallbacks_counter, may_serve
from proxy.resources.capture import ResourceResponseRewriter
from proxy.resources.handler import ResourceHandler
from proxy.resources.response import ResourceResponder
from proxy.resources.routing import ResourceRouting, ResourceUpstreams
from proxy.routing.models import Alias, compile_alias
from proxy.server.load_shedding import SheddingState
from proxy.upstream.pool import Pool
from proxy.upstream.tls import fingerprint, tls_context
from proxy.upstream.warmup import warm

_log = logging.getLogger(__name__)


class Gateway:
    """One gateway: `start` it on a running event loop, serve `app`, `stop` it."""

    def __init__(
        self,
        config: Config,
        output: TextIO,
        policies: Sequence[Callable[[GatewayState], Policy]] = POLICIES,
        counters: SharedCounters | None = None,
        metrics: MetricsMemory | None = None,
    ) -> None:
        """`policies` run in this order for every request; the access log is written to `output`. A worker has the
        `counters` and the memory of the `metrics` of all of them."""
        if counters is None:
            counters = SharedCounters()
        data_dir = Path(config.server.data_dir)
        self.ledger = Ledger(
            data_dir,
            durability=config.server.durability,
            max_unstored_bytes=config.server.journal_max_bytes,
            shared=config.server.workers > 1,
        )
        self.keys = KeyIndex(data_dir)
        self.deadlines = TimeoutSweeper()
        self.readiness = Readiness()
        #: For the listener.
        self.pressure = SheddingState()
        self.overload = Overload(config.server, self.deadlines, self.pressure, Readings())
        self.audio = AudioMeter()
        self.pools: dict[str, Pool] = {}
        self.app: Router | None = None
        self.providers = Providers(data_dir, self._current_pools)
        state = GatewayState(
            config,
            self.ledger,
            self.overload,
            AccessLog(output, config.server.log_format),
            int(time.time()),
            EndpointPaths(endpoint_of(), endpoints_by_format()),
            counters,
            Metrics(metrics, counters.place),
        )
        #: Outlives a reload, with the policies and their state.
        self.admission = Admission(state, self.keys, [policy(state) for policy in policies])
        store = Store(data_dir, prefix=config.server.key_prefix, owner=self._owner_in_file)
        #: The admin API, which `app` serves too unless it has an address of its own.
        services = AdminServices(state, self.keys, store, ProviderKeys(data_dir), Nodes(data_dir), self.providers)
        self.admin = AdminApi(services, ROWS)
        self.admin.services.control = Control(self.refresh)
        files = StaticFiles()
        #: The pages for browsers and agents.
        pages = PageServices(self.admin.services, Templates(files), Sessions(self.admin.services))
        self.site = Site(pages, files, PAGES)
        self.keys.follow_accounts(self._accounts_changed)
        self._reloading = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the store, compile the configuration and warm the pools. Raises `StoreFailed` and `ConfigFault`."""
        await self.ledger.start()
        self.readiness.store_failure = lambda: self.ledger.failure
        self.readiness.add_check(lambda: self.ledger.failure)
        self.readiness.add_check(self._keys_failure)
        self.readiness.add_check(self.overload.reason)
        self.readiness.add_warning_check(lambda: self.ledger.warning)
        self.readiness.add_warning_check(self.overload.warning)
        metrics = self.admission.state.metrics
        metrics.column.begin_journal(self.ledger.journal.owner)
        self.overload.start(self.ledger.journal)
        # Created where it is missing.
        await self.admin.services.start()
        await self.keys.open()
        self._watching = asyncio.create_task(self.keys.watch(), name="keys-watch")
        provider_keys, written = self.admin.services.provider_keys, self.config
        rotations = await asyncio.to_thread(provider_keys.current, written)
        provider_keys.adopt(written, rotations)
        config = with_promoted(written, rotations)
        self.pools = await self._pools_for(config.upstreams)
        mounts: tuple[Mount, ...] = (self.site,) if config.admin.listen else (self.admin, self.site)
        self.app = Router(self.access, self._routes(config, self.pools), mounts)
        self.deadlines.every_sweep(self.access.flush)
        self.deadlines.every_sweep(self._sweep_pools)
        self.deadlines.every_sweep(self.providers.sweep)
        self.deadlines.every_sweep(self.providers.prober.sweep)
        self.deadlines.every_sweep(self.overload.sample)
        self.deadlines.every_sweep(metrics.sweep)
        self.deadlines.start()
        for pool in self.pools.values():
            warm(pool)

    async def reload(self, wanted: Config) -> Changes:
        """Serve the requests to come by another configuration; those that run end by the one they began with.

        What needs a restart stays as it is, and is named in the result. Raises `ConfigFault`, and nothing has changed.
        """
        assert self.app is not None
        async with self._reloading:
            if self.readiness.draining:
                raise ConfigFault("the gateway is shutting down, and takes no other configuration")
            provider_keys = self.admin.services.provider_keys
            found = changes(provider_keys.written, wanted)
            written = applicable(provider_keys.written, wanted)
            try:
                rotations = await asyncio.to_thread(provider_keys.current, written)
            except StoreFailed as error:
                raise ConfigFault(error.message) from error
            config = with_promoted(written, rotations)
            pools = await self._pools_for(config.upstreams)
            routes = self._routes(config, pools)
            # All at once: there is no await from here on.
            provider_keys.adopt(written, rotations)
            before, self.pools = self.pools, pools
            self.overload.reconfigure(config.server)
            self.access.reconfigure(config.server.log_format)
            self.app.reconfigure(routes)
            for name, pool in before.items():
                if pools.get(name) is not pool:
                    pool.retire()
                    self.providers.retired.append(pool)
            for name, pool in pools.items():
                if before.get(name) is not pool:
                    warm(pool)
            return found

    async def refresh(self) -> None:
        """Use the provider keys that are stored now, for the attempts to come. Raises `ConfigFault`."""
        await self.reload(self.admin.services.provider_keys.written)

    async def _pools_for(self, upstreams: Mapping[str, Upstream]) -> dict[str, Pool]:
        """A pool for each upstream: the one that is there, with its warm connections, where nothing has changed."""
        # Reading the certificates takes milliseconds for each, in which no stream may stand still.
        prints = await asyncio.to_thread(lambda: {name: fingerprint(name, one) for name, one in upstreams.items()})
        there = {
            name: self.pools[name]
            for name, upstream in upstreams.items()
            if name in self.pools
            and self.pools[name].upstream == upstream
            and self.pools[name].certificates == prints[name]
        }
        new = {name: upstream for name, upstream in upstreams.items() if name not in there}
        contexts = await asyncio.to_thread(lambda: {name: tls_context(name, one) for name, one in new.items()})
        return {
            name: there[name]
            if name in there
            else Pool(name, upstream, contexts[name], self._may_eject, self._may_connect, prints[name])
            for name, upstream in upstreams.items()
        }

    def _routes(self, config: Config, pools: dict[str, Pool]) -> Routes:
        """The handlers of a configuration, whose aliases the policies follow from now on. Raises `ConfigFault`."""
        server = config.server
        state = self.admission.state
        aliases = {
            name: compile_alias(name, model, pools, server, state.targets) for name, model in config.models.items()
        }
        services = Services(
            journal=self.ledger.journal,
            estimator=self.ledger.estimator,
            deadlines=self.deadlines,
            settled=self.admission.settled,
            attempt_lost=self.admission.attempt_lost,
            attempt_failed=partial(self._attempt_failed, config),
            expose_upstream=server.expose_upstream,
            max_event_bytes=server.max_event_bytes,
            drain_max_seconds=server.drain_max_seconds,
            drain_max_tokens=server.drain_max_tokens,
            fell_back=partial(fallbacks_counter(state.metrics).add, 1),
            may_serve=self._may_serve,
        )
        state.config, state.aliases, state.services = config, aliases, services
        self.admission.reconfigure()
        resources = self._resource_handler(aliases, services, pools)
        health = Health(self.readiness, self.providers, self.admin.services.knows)
        return Routes(self.admission, services, self.audio, server, resources, health)

    def _may_serve(self, context: RequestContext, alias: Alias) -> bool:
        """Whether another alias may serve a request: by the rights of its key, and then by its limits and budgets."""
        return may_serve(context, alias) and self.admission.may_serve(context, alias)

    @property
    def access(self) -> AccessLog:
        """The access log."""
        return self.admission.state.access_log

    @property
    def config(self) -> Config:
        """The configuration in force, with the provider keys that were promoted in place of the file's."""
        return self.admission.state.config

    @property
    def admin_app(self) -> MountRouter:
        """What is served at the admin API's own address."""
        return MountRouter(self.access, (self.admin, self.site.for_admins()))

    @property
    def notice(self) -> float:
        """Seconds between the announced shutdown and its begin: none where readiness is not probed."""
        return self.config.server.drain_notice if self.readiness.is_probed else 0.0

    def drain(self) -> None:
        """The shutdown has begun: readiness probes see it."""
        self.readiness.draining = True
        self.admin.services.nodes.drain()

    def interrupt(self) -> None:
        """End every exchange that still runs, with an error to its client and a row."""
        self.deadlines.interrupt_all()

    async def stop(self) -> None:
        """Settle what still runs, close the pools, and store the journal to its end."""
        self.deadlines.stop()
        self.interrupt()
        await self.providers.prober.stop()
        for pool in (*self.pools.values(), *self.providers.retired):
            await pool.close()
        await self.providers.stop()
        self.deadlines.clear()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.site.services.sessions.close()
        await self.admin.services.stop()
        await self.keys.close()
        self.admission.state.metrics.sweep()
        await asyncio.to_thread(self.admission.close)
        await self.ledger.stop()
        self.audio.close()
        self.access.close()
        self.overload.stop()

    def _accounts_changed(self, has_accounts: bool) -> None:
        """Keys have got their first limits, or lost their last ones: other policies are enabled from now on."""
        self.admission.state.has_accounts = has_accounts
        self.admission.reconfigure()

    def _current_pools(self) -> Mapping[str, Pool]:
        return self.pools

    def _attempt_failed(self, config: Config, context: RequestContext, target: str, error: GatewayError) -> None:
        """An attempt has failed that was made by a configuration, which may be an earlier one."""
        context.add_failed(target, error.code or "error")
        self.admission.attempt_failed(context, target, error)
        _failed(context.id, target, error)
        name = target.partition("/")[0]
        pool = self.pools.get(name)
        why = reason_of(error)
        if pool is not None and why:
            pool.health.traffic.failed(why, time.monotonic())
        if name in self.admin.services.provider_keys.draining and _refused_credential(error):
            now, then = self.config.upstreams.get(name), config.upstreams.get(name)
            # A running request that still has the key before says nothing of the new one.
            if now is not None and then is not None and now.api_key == then.api_key:
                self.admin.key_refused(name)

    def _owner_in_file(self, kind: str, name: str) -> str | None:
        """Where the configuration file sets the budget of a key, a team or an organisation; None where it does not."""
        for budget, settings in self.config.budgets.items():
            if name in {"key": settings.keys, "team": settings.teams, "org": settings.orgs}[kind]:
                return f"[budgets.{budget}]"
        return None

    def _keys_failure(self) -> str | None:
        return f"keys are not refreshed: {self.keys.failed}" if self.keys.failed is not None else None

    def _may_connect(self) -> bool:
        return self.overload.may_connect(sum(pool.opening for pool in (*self.pools.values(), *self.providers.retired)))

    def _may_eject(self) -> bool:
        """Whether one more upstream may be ejected: one of them always, and so many percent of all."""
        most = max(len(self.pools) * self.config.server.max_ejection_percent // 100, 1)
        return sum(pool.health.ejected for pool in self.pools.values()) < most

    def _sweep_pools(self) -> None:
        now = asyncio.get_running_loop().time()
        for pool in self.pools.values():
            pool.sweep(now, spare=self.pressure.closing)
        if self.providers.retired:
            self.providers.retired = [pool for pool in self.providers.retired if not pool.is_empty]

    def _resource_handler(
        self, aliases: Mapping[str, Alias], services: Services, pools: Mapping[str, Pool]
    ) -> ResourceHandler:
        owners, upstreams = self.ledger.owners, ResourceUpstreams(pools, aliases)
        max_body_bytes = self.config.server.max_body_bytes
        rewriter = ResourceResponseRewriter(owners, upstreams)
        responder = ResourceResponder(rewriter, aliases, services, max_body_bytes)
        routing = ResourceRouting(owners, upstreams, aliases)
        return ResourceHandler(owners, routing, rewriter, responder, services, max_body_bytes, self.overload.bodies)


def _refused_credential(error: GatewayError) -> bool:
    """Whether an upstream has refused the gateway's own credential."""
    return isinstance(error, UpstreamFailed) and error.detail.startswith(("status 401", "status 403"))


def _failed(request_id: str, target: str, error: GatewayError) -> None:
    """Log why a target failed, without a provider's words, which may quote what a client wrote."""
    detail = error.detail if isinstance(error, UpstreamFailed) else ""
    _log.warning("%s: upstream %s: %s%s", request_id, target, error.logged, f" ({detail})" if detail else "")
