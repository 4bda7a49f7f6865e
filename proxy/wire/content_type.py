"""The content type of a request body: whether an endpoint takes it, and the boundary of a form."""

from collections.abc import Iterable
from typing import Final, Literal

from proxy.errors import InvalidRequest
from proxy.wire.content_encoding import encoding_of, unsupported
from proxy.wire.headers import Header
from proxy.wire.multipart import boundary_of, is_multipart

#: What an endpoint takes as its body; a "file" is a form too.
BodyKind = Literal["none", "json", "form", "form or json", "file"]

_FORM: Final = "multipart/form-data"
_WANTED: Final[dict[BodyKind, str]] = {
    "none": "application/json",
    "json": "application/json",
    "form": _FORM,
    "form or json": f"{_FORM} or application/json",
    "file": _FORM,
}


def check_content_type(headers: Iterable[Header], kind: BodyKind) -> bytes | None:
    """The boundary of a body that is a form, or None for any other that the endpoint takes.

    Raises `InvalidRequest` where the head already shows that the body cannot be read: it has two content types, one of
    another kind, or it is a compressed form.
    """
    types = [value for name, value in headers if name == b"content-type"]
    if len(types) > 1:
        raise InvalidRequest("The request has two content types.", code="unsupported_content_type")
    must_be_form = kind in ("form", "file")
    is_form = bool(types) and kind != "json" and is_multipart(types[0])
    if (must_be_form or is_form) and encoding_of(headers):
        raise unsupported("A compressed form is not taken.")
    if kind == "none":
        return None
    if is_form:
        return boundary_of(types[0])
    if must_be_form or (types and types[0].partition(b";")[0].strip().lower() != b"application/json"):
        raise InvalidRequest(f"The request's content type must be {_WANTED[kind]}.", code="unsupported_content_type")
    return None
