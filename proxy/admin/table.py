"""The table of the admin API: one row a route. Routes, docs/admin.md and the matrix of its tests come from it.

A row needs the admin token unless it says otherwise. A new route is its handler and a line here.
"""

from typing import Any, Final

import msgspec

from proxy.admin.openapi import AdminDocument, admin_document
from proxy.admin.org_config import OrgConfig
from proxy.admin.request import MAX_BULK_BYTES, AdminRequest, Input, Result, Row
from proxy.admin.routes import groups, keys, metrics, operations, org_configs, reports, rotation, traffic
from proxy.admin.routes.pages import Page
from proxy.admin.services import AdminServices
from proxy.auth.values import KeyFields, OrgFields, TeamFields

_IF_MATCH: Final = {"If-Match": "The version that the change is for; 412 where it is another one by now."}
_PUT: Final = {**_IF_MATCH, "If-None-Match": "`*` is for one that is not there yet."}
_ONCE: Final = {"Idempotency-Key": "The same one adds credits once."}


def _of_groups(
    routes: groups.GroupRoutes, one: str, is_free: str, document: Any, query: type[Input], fields: Any
) -> tuple[Row, ...]:
    """The rows of teams or of organisations; `one` names one of them in their texts."""
    path, word = f"/-/{routes.kind}s", one.partition(" ")[2]
    of_one = f"{path}/{{{routes.kind}_id}}"
    put = f"Make {one} be as the body says, with defaults for the rest; a new name makes one."
    patch = f"Change what the body has of {one}; null takes it away."
    return (
        Row("POST", path, routes.create, f"Create {one}.", document, fields, statuses=(201,)),
        Row("GET", path, routes.list, f"List {word}s.", routes.page, query=query),
        Row("GET", of_one, routes.show, f"One {word}, by its id or name.", document),
        Row("PUT", of_one, routes.put, put, document, fields, headers=_PUT, statuses=(200, 201)),
        Row("PATCH", of_one, routes.patch, patch, document, fields, headers=_IF_MATCH),
        Row("DELETE", of_one, routes.delete, f"Delete {one} that {is_free}.", groups.Deleted, headers=_IF_MATCH),
    )


async def _document(services: AdminServices, request: AdminRequest) -> Result:
    """The OpenAPI document of the rows below; they do not change while the process runs."""
    if services.document is None:
        services.document = await services.in_thread(_encoded_document)
    return Result(services.document)


def _encoded_document() -> bytes:
    return msgspec.json.encode(admin_document(ROWS))


ROWS: Final[tuple[Row, ...]] = (
    Row(
        "POST",
        "/-/keys",
        keys.create,
        "Create a key; its secret is in this response alone.",
        keys.CreatedKey,
        KeyFields,
        statuses=(201,),
    ),
    Row("GET", "/-/keys", keys.list_keys, "List keys, without their secrets.", keys.KeyList, query=keys.KeyQuery),
    Row("GET", "/-/keys/{key_id}", keys.show, "One key, by its id or name.", keys.KeyDocument),
    Row(
        "PUT",
        "/-/keys/{key_id}",
        keys.put,
        "Make a key be as the body says, with defaults for the rest; a new name makes a key.",
        keys.WrittenKey,
        KeyFields,
        headers=_PUT,
        statuses=(200, 201),
    ),
    Row(
        "PATCH",
        "/-/keys/{key_id}",
        keys.patch,
        "Change what the body has of a key; null takes it away.",
        keys.KeyDocument,
        KeyFields,
        headers=_IF_MATCH,
    ),
    Row("DELETE", "/-/keys/{key_id}", keys.revoke, "Revoke a key, for good.", keys.KeyDocument, headers=_IF_MATCH),
    Row(
        "POST",
        "/-/keys/{key_id}/rotate",
        keys.rotate,
        "Give a key a new secret; the one before stays valid for `grace_seconds`.",
        keys.CreatedSecret,
        keys.Rotate,
        headers=_IF_MATCH,
    ),
    Row(
        "POST",
        "/-/keys/{key_id}/credits",
        keys.add_credits,
        "Add prepaid credits, in USD; from the first on a key can spend no more than it has.",
        keys.AddedCredits,
        keys.AddCredits,
        headers=_ONCE,
        statuses=(200, 201),
    ),
    Row(
        "GET",
        "/-/keys/{key_id}/credits",
        keys.list_credits,
        "The history of a key's credits, the newest first.",
        keys.CreditList,
        query=keys.CreditQuery,
    ),
    *tuple(_of_groups(groups.TEAMS, "a team", "has no live keys", groups.TeamDocument, groups.TeamQuery, TeamFields)),
    *tuple(_of_groups(groups.ORGS, "an organisation", "has no teams", groups.OrgDocument, Page, OrgFields)),
    Row("GET", "/-/orgs/configs", org_configs.list_configs, "All documents.", org_configs.OrgConfigs),
    Row(
        "POST",
        "/-/orgs/configs/bulk",
        org_configs.load,
        "Replace all documents at once: those that the body has not are taken away.",
        org_configs.OrgConfigsLoaded,
        org_configs.AllConfigs,
        body_fault="invalid_json",
        max_body_bytes=MAX_BULK_BYTES,
    ),
    Row(
        "GET",
        "/-/orgs/{org_id}/config",
        org_configs.show,
        "The document of an organisation, with its secrets masked.",
        OrgConfig,
    ),
    Row(
        "PUT",
        "/-/orgs/{org_id}/config",
        org_configs.put,
        "Replace the document; a masked secret stays as it is.",
        org_configs.OrgConfigStored,
        OrgConfig,
        body_fault="invalid_json",
        headers=_PUT,
    ),
    Row(
        "DELETE",
        "/-/orgs/{org_id}/config",
        org_configs.delete,
        "Take the document away, if there is one.",
        org_configs.OrgConfigDeleted,
    ),
    Row(
        "GET",
        "/-/usage",
        reports.usage,
        "Requests, tokens and cost, summed up.",
        reports.UsageDocument,
        query=reports.UsageQuery,
    ),
    Row(
        "GET",
        "/-/audit",
        reports.audit,
        "Who has changed what, the newest first.",
        reports.AuditList,
        query=reports.AuditQuery,
    ),
    Row("GET", "/-/metrics", metrics.page, "The metrics, for Prometheus.", None, access="open_metrics"),
    Row("GET", "/metrics", metrics.page, "The same as `GET /-/metrics`.", None, access="open_metrics"),
    Row("GET", "/-/openapi.json", _document, "The OpenAPI document of these routes.", AdminDocument),
    Row("GET", "/-/config", operations.get_config, "The configuration in force.", operations.ConfigSummary),
    Row(
        "POST",
        "/-/reload",
        operations.reload,
        "Read the configuration file again, in all workers.",
        operations.Reloaded,
    ),
    Row("POST", "/admin/reload-config", operations.reload, "The same as `POST /-/reload`.", operations.Reloaded),
    Row(
        "GET",
        "/stats",
        traffic.stats,
        "What went through in the last 24 hours, or since a time.",
        traffic.Stats,
        query=traffic.StatsQuery,
    ),
    Row("GET", "/-/health/providers", traffic.list_providers, "The state of every upstream.", traffic.ProviderList),
    Row(
        "GET",
        "/-/health/providers/{org_id}",
        traffic.list_org_providers,
        "The state of an organisation's upstreams.",
        traffic.OrgProviderList,
    ),
    Row("GET", "/-/cluster/nodes", operations.list_nodes, "The workers that run now.", operations.NodeList),
    Row("GET", "/admin/cache/stats", operations.cache_stats, "What the caches hold.", operations.CacheStats),
    Row(
        "POST",
        "/admin/cache/clear",
        operations.clear_cache,
        "Remove all entries of the caches.",
        operations.CacheCleared,
        body=operations.CacheChoice,
    ),
    Row(
        "POST",
        "/-/admin/providers/{id}/rotate",
        rotation.start,
        "Begin the rotation of an upstream's key: keep a new one as pending.",
        rotation.RotationStatus,
        body=rotation.NewKey,
    ),
    Row(
        "GET",
        "/-/admin/providers/{id}/rotation",
        rotation.show,
        "Where the rotation stands.",
        rotation.RotationStatus,
    ),
    Row(
        "POST",
        "/-/admin/providers/{id}/rotate/promote",
        rotation.promote,
        "Put the pending key in force, in all workers.",
        rotation.RotationStatus,
    ),
    Row(
        "POST",
        "/-/admin/providers/{id}/rotate/rollback",
        rotation.roll_back,
        "Drop the pending key, or restore the one before the promotion.",
        rotation.RotationStatus,
    ),
)
