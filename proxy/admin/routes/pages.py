"""What the routes of stored objects have in common: pages, versions as ETags, and the documents of objects."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from proxy.admin.request import AdminRequest, Input, Result
from proxy.errors import InvalidRequest
from proxy.observability.access_format import dollars

#: Most objects of one page.
MAX_PAGE = 500
_ID = re.compile(r"(?:key|team|org)_[0-9a-f]{12}")
PageSize = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
#: ISO 8601, in UTC.
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
#: An exact decimal number of dollars.
Usd = Annotated[str, Meta(extra_json_schema={"format": "decimal"})]
#: Limits and budgets with what is set of them alone.
SetLimits = Annotated[dict[str, Any], Meta(extra_json_schema={"$ref": "#/components/schemas/Limits"})]
SetBudget = Annotated[dict[str, Any], Meta(extra_json_schema={"$ref": "#/components/schemas/Budget"})]


class Page(Input, frozen=True):
    """The query of a list."""

    limit: PageSize = 100
    #: The last id of the page before.
    after: str | None = None
    #: Only those whose name has this in it.
    name: str | None = None


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a page of a list."""

    object: Literal["list"] = "list"
    has_more: bool = False
    #: For `after` of the next page.
    last_id: str | None = None


def arguments(query: Page) -> dict[str, Any]:
    """A query as the arguments of a list of the store; one more than the page has says whether there are more."""
    return {**msgspec.structs.asdict(query), "limit": query.limit + 1}


def listed(page: type[Any], found: Sequence[Any], limit: int, document: Callable[[Any], Any], **more: Any) -> Result:
    """A page of what was found, of which there is one too many where there are more."""
    data = [document(one) for one in found[:limit]]
    last = str(data[-1].id) if data else None
    return Result(page(data=data, has_more=len(found) > limit, last_id=last, **more))


def is_id(text: str) -> bool:
    """Whether a text is an id of the store's, which no name may look like."""
    return _ID.fullmatch(text) is not None


def refuse_other_name(path_name: str, name: str | UnsetType) -> None:
    """Refuse a `PUT` by a name that gives another one: sent twice it would do something else each time."""
    if not is_id(path_name) and name not in (UNSET, path_name):
        message = f"The body's name must be {path_name[:64]!r} as in the path, or left out. PATCH gives another name."
        raise InvalidRequest(message, param="name")


def utc(seconds: int | None) -> str | None:
    """A time in seconds since 1970 as ISO 8601."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def usd(nano: int | None) -> str | None:
    """Nano-dollars as an exact decimal number of dollars, with 2 to 9 decimals; None is not known."""
    return None if nano is None else dollars(nano)


def etag(version: int) -> dict[str, str]:
    """The header with an object's version."""
    return {"etag": f'"{version}"'}


def expected_version(request: AdminRequest) -> int | None:
    """The version that a change is for, by `If-Match`; 0 for an object that must not be there (`If-None-Match: *`).

    Raises `InvalidRequest` for what is no version.
    """
    only_new = request.header(b"if-none-match")
    if only_new is not None:
        if only_new.strip() != "*":
            raise InvalidRequest("If-None-Match may only be *, for what is not there yet.", param="If-None-Match")
        return 0
    text = request.header(b"if-match")
    if text is None or text.strip() == "*":
        return None
    # Versions begin at 1.
    number = text.strip().removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) <= 18 and int(number)):
        raise InvalidRequest('If-Match must be the version of an ETag, such as "3".', param="If-Match")
    return int(number)
