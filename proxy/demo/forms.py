"""A reader of multipart/form-data (RFC 7578) bodies that are in memory. Pure; the caller bounds the size."""

from dataclasses import dataclass
from email.message import Message

from proxy.errors import InvalidRequest

_MAX_PARTS = 200


@dataclass(frozen=True)
class DemoFile:
    """An uploaded file."""

    field: str
    filename: str
    data: bytes


@dataclass(frozen=True)
class DemoForm:
    """A form: the values of each field, and the files, in the order in which they came."""

    fields: dict[str, list[str]]
    files: list[DemoFile]

    @property
    def last_values(self) -> dict[str, str]:
        """The last value of each field."""
        return {name: values[-1] for name, values in self.fields.items()}

    def file(self, name: str) -> DemoFile:
        """The first file of this field, also as `name[]`. Raises InvalidRequest where there is none."""
        for one in self.files:
            if one.field.removesuffix("[]") == name:
                return one
        raise InvalidRequest(f"The form has no file '{name}'.", param=name, code="missing_required_parameter")


def is_form(content_type: str) -> bool:
    """Whether a content type is that of a form."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def parse_form(content_type: str, body: bytes) -> DemoForm:
    """The form in a body. Raises InvalidRequest for one that is malformed or cut off."""
    boundary = _parameter(content_type, "boundary")
    if not is_form(content_type) or not boundary:
        raise InvalidRequest("Send a form: multipart/form-data with a boundary.", code="unsupported_content_type")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise InvalidRequest("The form is cut off: its closing boundary is missing.")
    if len(parts) > _MAX_PARTS:
        raise InvalidRequest(f"The form has more than {_MAX_PARTS} parts.")
    form = DemoForm({}, [])
    for part in parts[1:-1]:
        head, blank, data = part.partition(b"\r\n\r\n")
        lines = (line.partition(":") for line in head.decode("utf-8", "replace").split("\r\n"))
        headers = {name.strip().lower(): value.strip() for name, colon, value in lines if colon}
        disposition = headers.get("content-disposition", "")
        name, filename = _parameter(disposition, "name"), _parameter(disposition, "filename")
        if not blank or not name:
            raise InvalidRequest("A part of the form has no name.")
        if filename:
            form.files.append(DemoFile(name, filename, data))
        else:
            form.fields.setdefault(name, []).append(data.decode("utf-8", "replace"))
    return form


def _parameter(value: str, name: str) -> str:
    """A parameter of a header, quoted or not."""
    message = Message()
    message["content-type"] = value.replace("\r", "").replace("\n", "")
    found = message.get_param(name, "")
    return found if isinstance(found, str) else ""
