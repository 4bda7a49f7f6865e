"""Configuration, reload, workers and caches: what runs now, without secrets."""

from typing import Any

import msgspec

from proxy import __version__
from proxy.admin.nodes import Node
from proxy.admin.request import AdminRequest, Input, Result
from proxy.admin.services import AdminServices
from proxy.config.show import masked
from proxy.config.tree import Budget, Format, Limits, Model, Server
from proxy.errors import ConfigFault
from proxy.exchange.response_head import timestamp


class UpstreamSummary(msgspec.Struct, frozen=True):
    """One upstream. Its address, headers and query are left out: they may hold secrets."""

    kind: str
    formats: list[Format] | None
    #: Masked.
    api_key: str
    #: Its key was rotated: what is in force is not the configuration file's.
    rotated: bool
    targets: int


class AdminSummary(msgspec.Struct, frozen=True):
    """The settings of the admin API."""

    listen: str
    networks: list[str]
    open_metrics: bool
    #: `file` is the one in the data directory.
    token: str


class ConfigSummary(msgspec.Struct, frozen=True):
    """The configuration in force."""

    version: str
    #: When this worker's gateway came up, in seconds since 1970.
    started: int
    server: Server
    upstreams: dict[str, UpstreamSummary]
    models: dict[str, Model]
    limits: dict[str, Limits]
    budgets: dict[str, Budget]
    admin: AdminSummary


class Reloaded(msgspec.Struct, frozen=True):
    """A reload that was applied by all workers."""

    status: str
    message: str
    timestamp: str
    #: Dotted names of what was added, removed and changed, and of what stays as it is until a restart.
    changes: dict[str, list[str]]
    warnings: list[str]


class NodeList(msgspec.Struct, frozen=True):
    """The workers that run in this data directory now."""

    #: That which has responded.
    node_id: str
    node_count: int
    nodes: list[Node]


class StoreOfCache(msgspec.Struct, frozen=True):
    """The store behind the exact cache: none is configured, so it is not connected and holds nothing."""

    connected: bool = False
    memory_usage: str = "0MB"
    keys: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0


class SemanticCache(msgspec.Struct, frozen=True):
    """The semantic cache."""

    collection_size: int = 0
    index_size: str = "0MB"
    queries: int = 0
    hits: int = 0
    avg_similarity: float = 0.0


class CacheStats(msgspec.Struct, frozen=True):
    """What the caches hold; zeros, and a note, while there is none."""

    redis: StoreOfCache = StoreOfCache()
    semantic_cache: SemanticCache = SemanticCache()
    note: str = "No cache is configured."


class CacheCleared(msgspec.Struct, frozen=True):
    """How many entries were removed."""

    status: str
    message: str
    cleared: dict[str, int]


class CacheChoice(Input, frozen=True):
    """What is to be cleared."""

    cache_type: str = "all"


async def get_config(services: AdminServices, request: AdminRequest) -> Result:
    """The configuration in force, without secrets."""
    config = services.state.config
    visible = masked(config, config)
    written = services.provider_keys.written.upstreams
    upstreams = {
        name: UpstreamSummary(
            upstream.kind,
            upstream.formats,
            upstream.api_key,
            name in written and written[name].api_key != config.upstreams[name].api_key,
            sum(target.partition("/")[0] == name for model in config.models.values() for target in model.targets),
        )
        for name, upstream in visible.upstreams.items()
    }
    admin = AdminSummary(
        config.admin.listen,
        config.admin.networks,
        config.admin.open_metrics,
        "configuration" if config.admin.token else "file",
    )
    limits: dict[str, Limits] = {str(name): one for name, one in config.limits.items()}
    return Result(
        ConfigSummary(
            __version__,
            services.state.created,
            config.server,
            upstreams,
            config.models,
            limits,
            config.budgets,
            admin,
        )
    )


async def reload(services: AdminServices, request: AdminRequest) -> Result:
    """Read the configuration file again, in all workers. A faulty one is not applied."""
    result = await services.control.reload()
    if not result["ok"]:
        faults = "; ".join(_line(problem) for problem in result["problems"])
        await services.audit(request.actor, "config.reload.failed", result["file"], None, {"problems": faults})
        raise ConfigFault(f"Not applied, the configuration in force stays: {faults}", status=400)
    changes = {name: list(names) for name, names in result["changes"].items()}
    await services.audit(request.actor, "config.reload", result["file"], None, changes)
    warnings = [_line(problem) for problem in result["warnings"]]
    return Result(Reloaded("success", "Configuration reloaded successfully", timestamp(), changes, warnings))


def _line(problem: dict[str, Any]) -> str:
    place = f"line {problem['line']}: " if problem.get("line") else ""
    hint = f" ({problem['hint']})" if problem.get("hint") else ""
    return f"{place}{problem['key']} {problem['message']}{hint}".strip()


async def list_nodes(services: AdminServices, request: AdminRequest) -> Result:
    """The workers that run now."""
    nodes = await services.in_thread(services.nodes.running)
    return Result(NodeList(services.nodes.id, len(nodes), nodes))


async def cache_stats(services: AdminServices, request: AdminRequest) -> Result:
    """What the caches hold."""
    return Result(CacheStats())


async def clear_cache(services: AdminServices, request: AdminRequest) -> Result:
    """Remove all entries."""
    return Result(CacheCleared("success", "No cache is configured.", {"exact_cache": 0, "semantic_cache": 0}))
