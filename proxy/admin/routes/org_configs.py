"""The configuration documents of organisations. A response has their secrets masked, never whole."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from proxy.admin.org_config import MAX_ORGS, OrgConfig, budgets_of, inert, limits_of, masked, plain, unmasked
from proxy.admin.request import AdminRequest, Result
from proxy.admin.routes.pages import etag, expected_version, is_id
from proxy.admin.services import AdminServices
from proxy.auth.orgs import Org
from proxy.auth.values import OrgFields
from proxy.errors import InvalidRequest


class OrgConfigStored(msgspec.Struct, frozen=True):
    """A document was stored."""

    status: str
    org_id: str
    #: Sections and fields that are kept and not acted on.
    inert: list[str]


class OrgConfigDeleted(msgspec.Struct, frozen=True):
    """There is no document any more."""

    status: str
    org_id: str
    deleted: bool


#: A document as it was given, with its secrets masked.
Stored = Annotated[dict[str, Any], Meta(extra_json_schema={"$ref": "#/components/schemas/OrgConfig"})]


class OrgConfigs(msgspec.Struct, frozen=True, kw_only=True):
    """All documents, by the names of their organisations."""

    object: Literal["list"] = "list"
    count: int
    data: dict[str, Stored]


class OrgConfigsLoaded(msgspec.Struct, frozen=True):
    """All documents were replaced."""

    status: str
    loaded: int
    #: By organisation, where there is anything.
    inert: dict[str, list[str]]


#: All documents, by organisation.
AllConfigs = Annotated[dict[str, OrgConfig], Meta(max_length=MAX_ORGS)]


def missing() -> InvalidRequest:
    """An organisation has no document, or is not there: the two look the same."""
    return InvalidRequest("org config not found", status=404, code="org_config_not_found")


async def show(services: AdminServices, request: AdminRequest) -> Result:
    """The document of an organisation."""
    orgs, name = services.store.orgs, request.ids["org_id"]
    document = await orgs.config(name)
    if document is None:
        raise missing()
    org = await orgs.get(name)
    return Result(masked(document), 200, etag(org.version))


async def put(services: AdminServices, request: AdminRequest) -> Result:
    """Replace the whole document, and create the organisation where there is none."""
    name, orgs = request.ids["org_id"], services.store.orgs
    async with services.store.database.transaction():
        if is_id(name):
            await orgs.get(name)
        document = await _put(services, name, request.body, request.actor, expected_version(request))
        org = await orgs.get(name)
    return Result(OrgConfigStored("ok", name, inert(document)), 200, etag(org.version))


async def delete(services: AdminServices, request: AdminRequest) -> Result:
    """Take the document away, with the limits and the budget that it has set; the organisation stays."""
    name = request.ids["org_id"]
    async with services.store.database.transaction():
        await _delete(services, name, request.actor)
    return Result(OrgConfigDeleted("ok", name, True))


async def list_configs(services: AdminServices, request: AdminRequest) -> Result:
    """All documents."""
    documents = await services.store.orgs.configs()
    return Result(OrgConfigs(count=len(documents), data={name: masked(one) for name, one in documents.items()}))


async def load(services: AdminServices, request: AdminRequest) -> Result:
    """Replace all documents, in one transaction: those that the body has not are taken away."""
    documents: dict[str, OrgConfig] = request.body
    inert_of: dict[str, list[str]] = {}
    async with services.store.database.transaction():
        for name in (await services.store.orgs.configs()).keys() - documents.keys():
            await _delete(services, name, request.actor)
        for name, config in documents.items():
            if is_id(name):
                name = (await services.store.orgs.get(name)).name
            inert_of[name] = inert(await _put(services, name, config, request.actor, None))
    return Result(OrgConfigsLoaded("ok", len(documents), {name: one for name, one in inert_of.items() if one}))


async def _put(
    services: AdminServices, name: str, config: OrgConfig, actor: str, expected: int | None
) -> dict[str, Any]:
    """Store a document, and make limits and budget of the organisation follow it; returns the document."""
    orgs = services.store.orgs
    before = await orgs.config(name)
    document: dict[str, Any] = unmasked(plain(config), before or {})
    org = await orgs.put_config(name, document, actor=actor, expected=expected)
    await _apply(services, org, before, msgspec.convert(document, OrgConfig), actor)
    return document


async def _delete(services: AdminServices, name: str, actor: str) -> None:
    orgs = services.store.orgs
    before, org = await orgs.config(name), await orgs.find(name)
    await orgs.delete_config(name, actor=actor)
    if org is not None:
        await _apply(services, org, before, OrgConfig(), actor)


async def _apply(
    services: AdminServices, org: Org, before: dict[str, Any] | None, config: OrgConfig, actor: str
) -> None:
    """Set what the document has, or had before: what it never had stays as it was set otherwise."""
    was, now = before or {}, plain(config)
    fields = OrgFields(
        limits=limits_of(config) if "rate_limiting" in was or "rate_limiting" in now else UNSET,
        budgets=budgets_of(config) if "budgets" in was or "budgets" in now else UNSET,
    )
    if fields != OrgFields():
        await services.store.orgs.update(org.id, fields, actor=actor)
