"""Incremental multipart/form-data parser (RFC 7578), and the extractor of a form's `model` field on top of it.

Refuses what two servers could read differently, so that no second model passes a key's rights. Holds one part head or
one short field value at a time, and knows nothing of aliases, upstreams or what the files contain.

A resource of the account cannot be named in an inference form: the form is on its way before its owner is looked up.
"""

import re
from enum import Enum, auto
from typing import Final

from proxy.errors import BodyTooLarge, InvalidRequest
from proxy.wire.field_names import SINGLE_FIELDS, may_be_json, may_name_object, object_name_in
from proxy.wire.headers import Header
from proxy.wire.request_body import MAX_MODEL_CHARACTERS as MAX_MODEL_CHARACTERS

MAX_PARTS: Final = 256
#: Bytes of one part's head.
MAX_PART_HEAD_BYTES: Final = 16_384
#: Bytes of the name of a part.
MAX_PART_NAME_BYTES: Final = 256
#: Header lines of one part, and parameters of its Content-Disposition.
MAX_PART_LINES: Final = 16
MAX_PARAMETERS: Final = 8
#: RFC 2046 allows 70 characters; some clients make longer ones.
MAX_BOUNDARY_BYTES: Final = 200

#: Bytes of a field's value that are looked at; a longer one can be a text only.
_MAX_FIELD_BYTES: Final = 65_536
#: How servers write what is true in a form.
_TRUE: Final = frozenset({b"1", b"on", b"t", b"true", b"y", b"yes"})
#: Bytes that may follow the closing boundary, line ends all of them.
_MAX_EPILOGUE_BYTES: Final = 64
_MODEL_HEAD: Final = b'\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BOUNDARY: Final = re.compile(rb"[\x21\x23-\x5b\x5d-\x7e](?:[\x20\x21\x23-\x5b\x5d-\x7e]*[\x21\x23-\x5b\x5d-\x7e])?")
_TYPE: Final = re.compile(rb'[ \t]*;[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("[^"\\]*"|[^\s;",]+)')
# A quoted value as those read it who know of backslashes, and as those do who do not.
_ESCAPED: Final = re.compile(
    rb'[ \t]*;[ \t]*([!#$%&\'+.^_`|~0-9A-Za-z-]+|(?i:filename\*))=("(?:[^"\\]|\\.)*"|[!#$%&\'*+.^_`|~0-9A-Za-z-]+)'
)
_PLAIN: Final = re.compile(
    rb'[ \t]*;[ \t]*([!#$%&\'+.^_`|~0-9A-Za-z-]+|(?i:filename\*))=("[^"]*"|[!#$%&\'*+.^_`|~0-9A-Za-z-]+)'
)
#: A file's name in RFC 5987's form, as .NET adds it: UTF-8, without control characters and quotes.
_EXTENDED: Final = re.compile(rb"utf-8''(?:[!#$&+.^_`|~0-9A-Za-z-]|%(?![01]|22|7F)[0-9A-F]{2})+", re.IGNORECASE)
_NAME: Final = re.compile(rb"(?<![\w*-])name[\s*]*=", re.IGNORECASE)
#: What some reader takes for something else in a name: an escape, a quote, or blanks that it strips.
_ODD: Final = re.compile(rb"[\\%]|=\?|^[ \t']|[ \t']$")
_PLAIN_ENCODINGS: Final = frozenset({b"7bit", b"8bit", b"binary"})
_CHARSET: Final = re.compile(rb';[ \t]*charset=(?!"?(?:utf-?8|us-ascii)"?[ \t]*(?:;|$))', re.IGNORECASE)
_CARRIAGE_RETURN: Final = 0x0D


class EventKind(Enum):
    """What a form event is: together the data of all events are the form, byte for byte."""

    #: A boundary, with the line end before it; it ends the content of the part before.
    BOUNDARY = auto()
    #: A part's head, with the line ends around it.
    PART = auto()
    #: Some of the current part's content.
    CONTENT = auto()
    #: The hyphens behind the last boundary.
    CLOSE = auto()
    #: Line ends behind those.
    EPILOGUE = auto()


class FormEvent:
    """One event of a form: its bytes, and for a part's head what it says."""

    def __init__(self, kind: EventKind, data: bytes, name: str = "", is_file: bool = False) -> None:
        self.kind = kind
        self.data = data
        self.name = name
        self.is_file = is_file


class _State(Enum):
    START = auto()
    BOUNDARY = auto()
    DELIMITED = auto()
    HEAD = auto()
    CONTENT_START = auto()
    CONTENT = auto()
    ENDED = auto()


class MultipartParser:
    """Incremental parser: `receive` bytes cut anywhere, then take `next_event` until there is none."""

    def __init__(self, boundary: bytes, *, drops_epilogue: bool = False) -> None:
        """`drops_epilogue` takes a form with an epilogue (RFC 2046, 5.1.1) and leaves that out; else it is refused."""
        self.delimiter = b"--" + boundary
        self._drops_epilogue = drops_epilogue
        self._state = _State.START
        #: The names of its parts.
        self.names = PartNames()
        self._buffer = bytearray()
        #: Bytes of the buffer that have been searched.
        self._searched = 0
        self._parts = 0

    def receive(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self._buffer += data

    def next_event(self) -> FormEvent | None:
        """The next event, or None until more bytes come. Raises `InvalidRequest`."""
        if self._state is _State.CONTENT_START and not self._begin_content():
            return None
        if self._state is _State.CONTENT:
            return self._read_content()
        if self._state is _State.BOUNDARY:
            self._state = _State.DELIMITED
            return self._event(EventKind.BOUNDARY, 2 + len(self.delimiter))
        if self._state is _State.START:
            return self._read_first_boundary()
        if self._state is _State.DELIMITED and self._read_mark():
            self._state = _State.ENDED
            return self._event(EventKind.CLOSE, 2)
        if self._state is _State.HEAD:
            return self._read_head()
        return self._read_epilogue() if self._state is _State.ENDED else None

    def finish(self) -> None:
        """The body has ended. Raises `InvalidRequest` unless it was whole."""
        if self._state is _State.ENDED:
            return
        if self._state is _State.START and not self._buffer:
            raise InvalidRequest("The request body is empty. Send multipart/form-data.")
        raise _broken("it ends before its closing boundary")

    def _read_first_boundary(self) -> FormEvent | None:
        buffer, delimiter = self._buffer, self.delimiter
        skip = 2 if buffer.startswith(b"\r\n") else 0
        seen = bytes(buffer[skip : skip + len(delimiter)])
        if not delimiter.startswith(seen) and buffer != b"\r":
            raise _broken("it does not begin with the boundary that its content type names")
        if len(seen) < len(delimiter):
            return None
        self._state = _State.DELIMITED
        return self._event(EventKind.BOUNDARY, skip + len(delimiter))

    def _read_mark(self) -> bool:
        """Behind a boundary: a line end and the next part, or two hyphens and the end; whether it is the end."""
        if len(self._buffer) < 2:
            return False
        if self._buffer.startswith(b"--"):
            return True
        if not self._buffer.startswith(b"\r\n"):
            raise _broken("a boundary is not followed by a line end")
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _broken(f"it has more than {MAX_PARTS} parts")
        self._state = _State.HEAD
        return False

    def _read_head(self) -> FormEvent | None:
        # The line end of the boundary stands before it.
        end = self._buffer.find(b"\r\n\r\n", max(2, self._searched - 3))
        if (end if end >= 0 else len(self._buffer)) > MAX_PART_HEAD_BYTES + 2:
            raise _broken(f"the head of a part is larger than {MAX_PART_HEAD_BYTES} bytes")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        name, is_file = self.names.read(bytes(self._buffer[2:end]))
        self._state = _State.CONTENT_START
        return self._event(EventKind.PART, end + 4, name, is_file)

    def _begin_content(self) -> bool:
        """Whether so much of a part's content is there that it cannot be a boundary."""
        if len(self._buffer) < len(self.delimiter):
            return False
        if self._buffer.startswith(self.delimiter):
            raise _broken("a boundary stands behind a broken line end")
        self._state = _State.CONTENT
        return True

    def _read_content(self) -> FormEvent | None:
        size, delimiter = len(self._buffer), self.delimiter
        at = _find_line_end(self._buffer, delimiter, self._searched)
        if at < 0:
            # A boundary, with the line end before it, may have begun in the last bytes.
            at = size - len(delimiter) - 1
            if at <= 0:
                self._searched = max(0, size - len(delimiter))
                return None
            event = self._event(EventKind.CONTENT, at)
            self._searched = 1
            return event
        self._state = _State.BOUNDARY
        return self._event(EventKind.CONTENT, at) if at else self.next_event()

    def _read_epilogue(self) -> FormEvent | None:
        if len(self._buffer) > _MAX_EPILOGUE_BYTES or self._buffer.strip(b"\r\n"):
            if self._drops_epilogue:
                self._buffer.clear()
                return None
            raise _broken("bytes follow its closing boundary")
        return self._event(EventKind.EPILOGUE, len(self._buffer)) if self._buffer else None

    def _event(self, kind: EventKind, size: int, name: str = "", is_file: bool = False) -> FormEvent:
        """An event of the first bytes of the buffer."""
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        self._searched = 0
        return FormEvent(kind, data, name, is_file)


class ModelExtractor:
    """Takes the value of the `model` field out of a form on its way: returns the bytes that go on unchanged, and where
    among them another model's name belongs."""

    def __init__(self, boundary: bytes, named: str = "", max_file_bytes: int = 0) -> None:
        """`named` is the model that the path names, if it does: it takes the place of the form's. `max_file_bytes` is
        the largest content of the part named `file`; 0 is any."""
        self._named = named
        self._max_file_bytes = max_file_bytes
        self._parser = MultipartParser(boundary)
        #: The name of the current part, and the value of its field, or None where it is not read.
        self._field = ""
        self._value: bytearray | None = None
        self._in_file = False
        self._passed = 0
        #: Where in the bytes passed on the content of the part named `file` begins, and where it ends.
        self.file = (0, 0)
        #: The value of the `model` part, once it is whole.
        self.model: str | None = None
        #: Where in the bytes passed on that value stood, and how long it was.
        self.model_at = 0
        self.model_size = 0
        #: The value of the `stream` part, as far as it has come.
        self.stream = False

    def refuse(self, names: frozenset[str]) -> None:
        """Refuse parts of these names. Raises `InvalidRequest` for one that has come already."""
        self._parser.names.refuse(names)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those that can go on, without the model's value.

        Raises `InvalidRequest`, and `BodyTooLarge` for a file of too many bytes.
        """
        self._parser.receive(data)
        out: list[bytes] = []
        while (event := self._parser.next_event()) is not None:
            if event.kind is EventKind.CONTENT:
                if not self._read_content(event.data):
                    continue
            elif event.kind is EventKind.BOUNDARY:
                self._end_part()
            elif event.kind is EventKind.PART:
                self._begin_part(event, self._passed + len(event.data))
            elif event.kind is EventKind.CLOSE and self.model is None:
                self._add_model(out)
            out.append(event.data)
            self._passed += len(event.data)
            if self._in_file and self._max_file_bytes and self._passed - self.file[0] > self._max_file_bytes:
                raise BodyTooLarge(
                    f"The file is larger than {self._max_file_bytes} bytes, the most this endpoint takes."
                )
        return b"".join(out)

    def finish(self) -> None:
        """The body has ended. Raises `InvalidRequest` unless it was whole."""
        self._parser.finish()

    def _begin_part(self, event: FormEvent, content_at: int) -> None:
        if object_name_in(event.name):
            raise no_resource(event.name)
        self._field = event.name
        self._value = None if event.is_file else bytearray()
        self._in_file = event.is_file and event.name == "file"
        if self._in_file:
            self.file = (content_at, content_at)

    def _read_content(self, data: bytes) -> bool:
        """Look at content of the current part; whether it goes on: the model's value does not."""
        value = self._value
        if value is None:
            return True
        value += data
        if self._field == "model":
            if len(value) > MAX_MODEL_CHARACTERS:
                raise InvalidRequest("The model's name is too long.", param="model")
            return False
        if len(value) > _MAX_FIELD_BYTES:
            if may_be_json(self._field, bytes(value)):
                raise _broken(f"a field holds JSON of more than {_MAX_FIELD_BYTES} bytes")
            self._value = None
        return True

    def _end_part(self) -> None:
        """All content of the current part has come."""
        if self._in_file:
            self.file = (self.file[0], self._passed)
            self._in_file = False
        if self._value is None:
            return
        value, self._value = bytes(self._value), None
        if self._field == "model":
            try:
                self.model = self._named or value.decode()
            except UnicodeDecodeError as error:
                raise InvalidRequest("The model's name is not valid UTF-8.", param="model") from error
            if not self.model:
                raise InvalidRequest("You must provide a model parameter; it is empty.", param="model")
            self.model_at = self._passed
            self.model_size = len(value)
        elif self._field == "stream":
            self.stream = value.strip().lower() in _TRUE
        elif may_name_object(self._field, value):
            raise no_resource(self._field)

    def _add_model(self, out: list[bytes]) -> None:
        """Behind the last boundary: add the part that the form lacks, if the path names the model."""
        if not self._named:
            raise InvalidRequest("You must provide a model parameter.", param="model")
        self.model = self._named
        self.model_at = self._passed + len(_MODEL_HEAD)
        added = _MODEL_HEAD + b"\r\n" + self._parser.delimiter
        out.append(added)
        self._passed += len(added)
        # The form grows by it.
        self.model_size = -len(added)


class PartNames:
    """The parts of one form, by their heads: none may be read in two ways, and what decides anything comes once."""

    def __init__(self) -> None:
        #: The names of the parts so far, without what stands in brackets.
        self.seen: set[str] = set()
        #: Names that this form may not have.
        self.refused: frozenset[str] = frozenset()

    def read(self, head: bytes) -> tuple[str, bool]:
        """The name of the next part, and whether it is a file. Raises `InvalidRequest`."""
        raw, file_name = read_part_head(head)
        try:
            name = raw.decode()
        except UnicodeDecodeError as error:
            raise _broken("the name of a part is not valid UTF-8") from error
        base = name.partition("[")[0].strip().casefold()
        if base in SINGLE_FIELDS:
            if name != base:
                raise InvalidRequest(f"The part '{name}' can be read as '{base}' too. Name it '{base}'.", param=base)
            if base in self.seen:
                raise InvalidRequest(f"The request body has two '{base}' parts.", param=base)
            if file_name == b"" and base == "file":
                raise _broken("its file has no name, so that some servers take it for a plain field")
            if file_name is not None and base != "file":
                raise InvalidRequest(f"The {base} must be a plain field, not a file.", param=base)
        if base == "_charset_":
            raise _broken("it names a character set of its own")
        if base in self.refused:
            raise _other_model(base)
        self.seen.add(base)
        # Without a name of its own some servers take it for a plain field, so that it is looked at as one.
        return name, bool(file_name)

    def refuse(self, names: frozenset[str]) -> None:
        """Refuse these names from now on, and those that have come already. Raises `InvalidRequest`."""
        self.refused = names
        for name in names & self.seen:
            raise _other_model(name)


def _find_line_end(buffer: bytearray, delimiter: bytes, start: int) -> int:
    """Where the line end before the next boundary begins, or -1.

    Raises `InvalidRequest` for a boundary behind half a line end, which some servers take for one.
    """
    at = buffer.find(b"\n" + delimiter, max(0, start))
    other = buffer.find(b"\r" + delimiter, max(0, start), at if at >= 0 else len(buffer))
    if other >= 0 or at == 0 or (at > 0 and buffer[at - 1] != _CARRIAGE_RETURN):
        raise _broken("a boundary stands behind a broken line end")
    return at - 1 if at > 0 else -1


def is_multipart(content_type: bytes) -> bool:
    """Whether a content type is that of a form with files."""
    return content_type.partition(b";")[0].strip().lower() == b"multipart/form-data"


def boundary_of(content_type: bytes) -> bytes:
    """The boundary that a multipart content type names. Raises `InvalidRequest` for none, or for two."""
    rest = content_type[len(content_type.partition(b";")[0]) :].rstrip(b" \t;")
    found: list[bytes] = []
    position = 0
    while position < len(rest):
        match = _TYPE.match(rest, position)
        if match is None:
            raise InvalidRequest("The request's content type cannot be read.")
        if match[1].lower() == b"boundary":
            found.append(match[2].strip(b'"'))
        position = match.end()
    if len(found) != 1 or not found[0]:
        raise InvalidRequest("The request's content type must name one boundary: multipart/form-data; boundary=....")
    if len(found[0]) > MAX_BOUNDARY_BYTES or _BOUNDARY.fullmatch(found[0]) is None:
        raise InvalidRequest("The boundary in the request's content type is not a valid one.")
    return found[0]


def content_type_line(boundary: bytes) -> bytes:
    """The content type header for a body with that boundary, quoted where it must be."""
    shown = boundary if _TOKEN.fullmatch(boundary) else b'"%b"' % boundary
    return b"content-type: multipart/form-data; boundary=%b\r\n" % shown


def read_part_head(head: bytes) -> tuple[bytes, bytes | None]:
    """The name of a part, and that of its file, if it is one. Raises `InvalidRequest` where two readers might not
    agree."""
    disposition: bytes | None = None
    has_charset = False
    for name, value in _header_lines(head):
        if name == b"content-disposition":
            if disposition is not None:
                raise _broken("a part has two Content-Disposition headers")
            disposition = value
        elif name == b"content-transfer-encoding":
            if value.lower() not in _PLAIN_ENCODINGS:
                raise _broken("a part is encoded; send its content as it is")
        elif name == b"content-encoding":
            if value.lower() != b"identity":
                raise _broken("a part is compressed; send its content as it is")
        elif name == b"content-type":
            has_charset = _CHARSET.search(value) is not None
    if disposition is None:
        raise _broken("a part has no Content-Disposition header")
    found = _parameters(disposition, _ESCAPED)
    plain = _parameters(disposition, _PLAIN)
    if found is None or (plain is not None and plain.get(b"name") != found.get(b"name")):
        raise _broken("the Content-Disposition of a part cannot be read, or not in one way only")
    # Windows has them in the paths of files, which some clients send whole; what they do there is no matter.
    has_backslash = any(b"\\" in value for name, value in found.items() if name != b"filename")
    if has_backslash or len(_NAME.findall(disposition)) != 1:
        raise _broken("the Content-Disposition of a part can be read in two ways")
    name_of = found.get(b"name")
    if name_of is None or _ODD.search(name_of) is not None:
        raise _broken("a part has no plain name")
    if len(name_of) > MAX_PART_NAME_BYTES:
        raise _broken(f"the name of a part is longer than {MAX_PART_NAME_BYTES} bytes")
    # Not all servers read the extended name: the plain one decides whether it is a file.
    file_name = found.get(b"filename")
    if b"filename*" in found and not file_name:
        raise _broken("a file has an extended name alone; name it by a plain 'filename' too")
    if has_charset and not file_name:
        raise _broken("a field is written in another character set than UTF-8")
    return name_of, file_name


def _header_lines(head: bytes) -> list[Header]:
    found: list[Header] = []
    lines = head.split(b"\r\n")
    if len(lines) > MAX_PART_LINES:
        raise _broken(f"the head of a part has more than {MAX_PART_LINES} lines")
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or _TOKEN.fullmatch(name) is None or b"\r" in line or b"\n" in line or b"\x00" in line:
            raise _broken("the head of a part cannot be read")
        found.append((name.lower(), value.strip(b" \t")))
    return found


def _parameters(disposition: bytes, pattern: re.Pattern[bytes]) -> dict[bytes, bytes] | None:
    """The parameters of a disposition in one way of reading it, or None where it cannot be read so."""
    kind = disposition.partition(b";")[0]
    if kind.strip().lower() != b"form-data":
        return None
    found: dict[bytes, bytes] = {}
    position = len(kind)
    end = len(disposition.rstrip(b" \t"))
    while position < end:
        match = pattern.match(disposition, position)
        if match is None or match[1].lower() in found or len(found) == MAX_PARAMETERS:
            return None
        name, value = match[1].lower(), match[2]
        if name == b"filename*" and _EXTENDED.fullmatch(value) is None:
            return None
        found[name] = value[1:-1] if value.startswith(b'"') else value
        position = match.end()
    return found


def _broken(what: str) -> InvalidRequest:
    return InvalidRequest(f"The multipart body cannot be read: {what}.")


def no_resource(name: str) -> InvalidRequest:
    shown = name if len(name) <= 100 else name[:100] + "…"
    return InvalidRequest(
        f"The part '{shown}' names an object. No object was found by it: objects cannot be named in this form.",
        status=404,
        code="not_found",
        param=shown,
    )


def _other_model(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"The field '{name}' chooses a further model, and a key uses the models of its own names only. Leave it out.",
        param=name,
        code="model_not_supported",
    )
