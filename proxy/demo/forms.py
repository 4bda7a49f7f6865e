"""Reads multipart/form-data (RFC 7578) as SDKs, browsers and curl send it. Pure.

The whole body is at hand and bounded by the caller; this is a reader for a toy, not for a gateway.
"""

from dataclasses import dataclass
from email.message import Message

from proxy.errors import InvalidRequest

_MOST_PARTS = 200


@dataclass(frozen=True)
class Upload:
    """One file of a form."""

    field: str
    filename: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Form:
    """A form: the values of each field in their order, and the files in theirs."""

    fields: dict[str, list[str]]
    uploads: list[Upload]

    def get(self, name: str, default: str = "") -> str:
        """The last value of a field."""
        return self.fields.get(name, [default])[-1]

    def flag(self, name: str) -> bool:
        """Whether a field says true."""
        return self.get(name).lower() in ("true", "1")

    def upload(self, *names: str) -> Upload:
        """The first file under one of the names. Raises InvalidRequest where there is none."""
        for one in self.uploads:
            if one.field.removesuffix("[]") in names:
                return one
        raise InvalidRequest(f"The form has no file '{names[0]}'.", param=names[0], code="missing_required_parameter")


def is_form(content_type: str) -> bool:
    """Whether a content type is that of a form."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def parse_form(content_type: str, body: bytes) -> Form:
    """The form in a body. Raises InvalidRequest for what is none."""
    boundary = _parameter(content_type, "boundary")
    if not is_form(content_type) or not boundary:
        raise InvalidRequest("Send a form: multipart/form-data with a boundary.", code="unsupported_content_type")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise InvalidRequest("The form is cut off: its closing boundary is missing.")
    if len(parts) > _MOST_PARTS:
        raise InvalidRequest(f"The form has more than {_MOST_PARTS} parts.")
    form = Form({}, [])
    for part in parts[1:-1]:
        head, blank, data = part.partition(b"\r\n\r\n")
        headers = _headers(head)
        name = _parameter(headers.get("content-disposition", ""), "name")
        if not blank or not name:
            raise InvalidRequest("A part of the form has no name.")
        filename = _parameter(headers["content-disposition"], "filename")
        if filename:
            form.uploads.append(Upload(name, filename, headers.get("content-type", "application/octet-stream"), data))
        else:
            form.fields.setdefault(name, []).append(data.decode("utf-8", "replace"))
    return form


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("utf-8", "replace").split("\r\n"))
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}


def _parameter(value: str, name: str) -> str:
    """A parameter of a header, quoted or not."""
    message = Message()
    message["content-type"] = value.replace("\r", "").replace("\n", "")
    found = message.get_param(name, "")
    return found if isinstance(found, str) else ""
