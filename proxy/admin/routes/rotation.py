"""Rotation of an upstream's key: start, status, promote, roll back. No response and no audit row has a whole key."""

import logging
from typing import Any

import msgspec

from proxy.admin.key_check import check_key
from proxy.admin.provider_keys import Rotation, Status, masked, unknown_provider
from proxy.admin.request import AdminRequest, Input, Result
from proxy.admin.services import AdminServices
from proxy.errors import GatewayError, InvalidRequest

_log = logging.getLogger(__name__)


class NewKey(Input, frozen=True):
    """The key that is to be promoted later."""

    new_key: str

    def __repr__(self) -> str:
        """Name no secret."""
        return "NewKey(…)"


class RotationStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a rotation stands; keys are masked, times in seconds since 1970."""

    provider_id: str
    #: The key in force.
    primary: str
    status: Status
    updated_at: int
    pending_key: str | None = None
    #: The key before the promotion, until `drain_until`.
    old_key: str | None = None
    drain_until: int | None = None
    #: What has happened to it by itself.
    note: str | None = None


async def start(services: AdminServices, request: AdminRequest) -> Result:
    """Keep a new key as pending, after one cheap request with it to the upstream."""
    keys, name, key = services.provider_keys, request.ids["id"], request.body.new_key
    # Before it is sent anywhere: it becomes a part of a header.
    before = await services.in_thread(keys.check, name, key)
    note = await check_key(name, msgspec.structs.replace(keys.written.upstreams[name], api_key=key))
    after = await services.in_thread(keys.start, name, key)
    return await _changed(services, request, "provider.rotate", before, after, note)


async def show(services: AdminServices, request: AdminRequest) -> Result:
    """Where the rotation of an upstream's key stands."""
    name = request.ids["id"]
    if name not in services.provider_keys.written.upstreams:
        raise unknown_provider(name, 404)
    return Result(_status_of(services, await services.in_thread(services.provider_keys.find, name)))


async def promote(services: AdminServices, request: AdminRequest) -> Result:
    """Use the pending key for new attempts in all workers; running ones end with the key before."""
    name = request.ids["id"]
    before = await services.in_thread(services.provider_keys.find, name)
    after = await services.in_thread(services.provider_keys.promote, name)
    failed = await services.control.refresh()
    if failed:
        await services.in_thread(services.provider_keys.roll_back, name)
        await services.control.refresh()
        raise GatewayError(f"The key was not promoted: {'; '.join(failed)}.", code="promotion_failed")
    return await _changed(services, request, "provider.promote", before, after)


async def roll_back(services: AdminServices, request: AdminRequest) -> Result:
    """Drop a pending key, or put the key before a promotion in force again."""
    name = request.ids["id"]
    before = await services.in_thread(services.provider_keys.find, name)
    after = await services.in_thread(services.provider_keys.roll_back, name)
    failed = await services.control.refresh()
    if failed:
        raise GatewayError(f"The key was rolled back, but not everywhere: {'; '.join(failed)}.", code="rollback_failed")
    return await _changed(services, request, "provider.rollback", before, after)


async def fall_back(services: AdminServices, name: str) -> None:
    """Put the key before a promotion in force again, because the provider refuses the new one. Once for each: of all
    workers that notice it the first does it."""
    note = "The provider refused the promoted key, so the one before is in force again."
    before = await services.in_thread(services.provider_keys.find, name)
    if before.status(services.provider_keys.now()) != "draining":
        return
    try:
        after = await services.in_thread(services.provider_keys.roll_back, name, note)
    except InvalidRequest:
        # Another worker was first.
        return
    _log.error("upstream %s refuses its promoted key; the one before is in force again", name)
    await services.control.refresh()
    was, now = (msgspec.to_builtins(_status_of(services, one)) for one in (before, after))
    await services.audit("gateway", "provider.fallback", name, was, now)


async def _changed(
    services: AdminServices, request: AdminRequest, action: str, before: Rotation, after: Rotation, note: str = ""
) -> Result:
    status = _status_of(services, after)
    if note:
        status = msgspec.structs.replace(status, note=note)
    was: dict[str, Any] = msgspec.to_builtins(_status_of(services, before))
    await services.audit(request.actor, action, after.provider, was, msgspec.to_builtins(status))
    return Result(status)


def _status_of(services: AdminServices, rotation: Rotation) -> RotationStatus:
    keys = services.provider_keys
    status = rotation.status(keys.now())
    is_draining = status == "draining"
    return RotationStatus(
        rotation.provider,
        masked(keys.primary(rotation)),
        status,
        rotation.updated_at,
        masked(rotation.pending) or None,
        masked(rotation.previous) if is_draining else None,
        rotation.drain_until if is_draining else None,
        rotation.note or None,
    )
