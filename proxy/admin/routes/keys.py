"""Client keys and their credits. A secret is in one response only: that which has made it."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from proxy.admin.request import AdminRequest, Input, Result
from proxy.admin.routes.pages import (
    Listed,
    Page,
    PageSize,
    SetBudget,
    SetLimits,
    Time,
    Usd,
    arguments,
    etag,
    expected_version,
    is_id,
    listed,
    refuse_other_name,
    usd,
    utc,
)
from proxy.admin.services import AdminServices
from proxy.auth.credits import Credit
from proxy.auth.keys import StoredKey
from proxy.auth.values import valid_nano

#: Most seconds that an old secret may stay valid after a rotation.
MAX_GRACE_SECONDS: Final = 30 * 86_400


class KeyQuery(Page, frozen=True):
    """The query of the list of keys."""

    #: Only those of a team or an organisation, by name or id; only those with a tag.
    team: str | None = None
    org: str | None = None
    tag: str | None = None
    #: Revoked ones too.
    revoked: bool = False


class KeyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One key, without its secret."""

    object: Literal["key"] = "key"
    id: str
    name: str
    #: The last characters of its secret.
    hint: str
    #: Aliases that it may use; null is all of them.
    models: list[str] | None
    created: Time | None
    expires: Time | None
    revoked: Time | None
    #: The name of its team.
    team: str | None
    tags: list[str]
    limits: SetLimits | None
    budgets: list[SetBudget]
    metadata: dict[str, Any] | None
    #: USD of all credits that were added; null for a key that needs none.
    credits_usd: Usd | None
    version: int


class CreatedKey(KeyDocument, frozen=True, kw_only=True):
    """A key with its secret, which cannot be read again."""

    key: str


class WrittenKey(KeyDocument, frozen=True, kw_only=True):
    """A key that is as it was asked for."""

    #: Its secret, where the request has made the key.
    key: str | UnsetType = UNSET


class KeyList(Listed, frozen=True, kw_only=True):
    """A page of keys, in the order of their creation."""

    data: list[KeyDocument]


class Rotate(Input, frozen=True):
    """How long the secrets before stay valid."""

    grace_seconds: Annotated[int, Meta(ge=0, le=MAX_GRACE_SECONDS)] = 0


class CreatedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The new secret of a key, which cannot be read again."""

    object: Literal["key.secret"] = "key.secret"
    id: str
    key: str


class AddCredits(Input, frozen=True):
    """Credits to add, in USD; less than 0 corrects what was added before."""

    amount: Decimal
    note: str = ""
    #: When what is left of them ends.
    expires: datetime | None = None


class CreditDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One addition of credits."""

    object: Literal["credit"] = "credit"
    id: str
    key_id: str
    amount_usd: Usd
    note: str
    created: Time | None
    expires: Time | None


class AddedCredits(CreditDocument, frozen=True, kw_only=True):
    """An addition, with all credits that the key has been given."""

    total_usd: Usd


class CreditQuery(Input, frozen=True):
    """The query of the history of credits."""

    limit: PageSize = 100
    #: The last id of the page before.
    before: str | None = None


class CreditList(Listed, frozen=True, kw_only=True):
    """The additions of a key, the newest first."""

    data: list[CreditDocument]
    total_usd: Usd | None


def document(key: StoredKey) -> dict[str, Any]:
    """The fields of a `KeyDocument`."""
    times = {"created": utc(key.created), "expires": utc(key.expires), "revoked": utc(key.revoked)}
    return {**key.plain(), **times, "credits_usd": usd(key.credits)}


def _document(key: StoredKey) -> KeyDocument:
    return KeyDocument(**document(key))


async def create(services: AdminServices, request: AdminRequest) -> Result:
    """Create a key; the response has its secret, this once."""
    key, secret = await services.store.keys.add(request.body, actor=request.actor)
    return Result(CreatedKey(**document(key), key=secret), 201, etag(key.version))


async def list_keys(services: AdminServices, request: AdminRequest) -> Result:
    """List keys, without their secrets."""
    found = await services.store.keys.list(**arguments(request.query))
    return listed(KeyList, found, request.query.limit, _document)


async def show(services: AdminServices, request: AdminRequest) -> Result:
    """One key, by its id, or by its name while it is live."""
    key = await services.store.keys.get(request.ids["key_id"])
    return Result(_document(key), 200, etag(key.version))


async def put(services: AdminServices, request: AdminRequest) -> Result:
    """Make a key be as the body says: what is left out gets its default. A name that no live key has makes one."""
    name, fields = request.ids["key_id"], request.body
    refuse_other_name(name, fields.name)
    if is_id(name) and await services.store.keys.find(name) is None:
        # The id of a key that is not there, and no name for a new one.
        await services.store.keys.get(name)
    written = await services.store.keys.put(name, fields, actor=request.actor, expected=expected_version(request))
    secret = UNSET if written.secret is None else written.secret
    result = WrittenKey(**document(written.key), key=secret)
    return Result(result, 200 if written.secret is None else 201, etag(written.key.version))


async def patch(services: AdminServices, request: AdminRequest) -> Result:
    """Change what the body has of a live key; null takes it away."""
    expected = expected_version(request)
    key = await services.store.keys.update(request.ids["key_id"], request.body, actor=request.actor, expected=expected)
    return Result(_document(key), 200, etag(key.version))


async def revoke(services: AdminServices, request: AdminRequest) -> Result:
    """Revoke a live key, for good."""
    expected = expected_version(request)
    key = await services.store.keys.revoke(request.ids["key_id"], actor=request.actor, expected=expected)
    return Result(_document(key))


async def rotate(services: AdminServices, request: AdminRequest) -> Result:
    """Give a live key a new secret."""
    keys = services.store.keys
    key = await keys.get(request.ids["key_id"])
    secret = await keys.rotate(
        key.id, request.body.grace_seconds, actor=request.actor, expected=expected_version(request)
    )
    return Result(CreatedSecret(id=key.id, key=secret))


async def add_credits(services: AdminServices, request: AdminRequest) -> Result:
    """Add prepaid credits; the same `Idempotency-Key` adds them once."""
    body: AddCredits = request.body
    credit, is_new = await services.store.credits.add(
        request.ids["key_id"],
        valid_nano(body.amount, "amount"),
        note=body.note,
        expires=body.expires,
        idempotency_key=request.header(b"idempotency-key"),
        actor=request.actor,
    )
    total = await services.store.credits.total(credit.key)
    return Result(AddedCredits(**_credit(credit), total_usd=usd(total) or "0.00"), 201 if is_new else 200)


async def list_credits(services: AdminServices, request: AdminRequest) -> Result:
    """The history of a key's credits."""
    query: CreditQuery = request.query
    key = await services.store.keys.get(request.ids["key_id"])
    found = await services.store.credits.list(key.id, limit=query.limit + 1, before=query.before)
    total = usd(await services.store.credits.total(key.id))
    return listed(CreditList, found, query.limit, lambda one: CreditDocument(**_credit(one)), total_usd=total)


def _credit(credit: Credit) -> dict[str, Any]:
    return {
        "id": credit.id,
        "key_id": credit.key,
        "amount_usd": usd(credit.amount),
        "note": credit.note,
        "created": utc(credit.created),
        "expires": utc(credit.expires),
    }
