"""The request body: parsed once, and rendered again with another model name.

Top-level values are kept raw and written back as they came, so nested bytes survive and a repeated key cannot carry a
second model past the key's rights. Bytes in, bytes out; nothing here knows aliases, keys or upstreams.

What a parser need not judge passes as it came: half a surrogate pair, and the numbers that JSON has no word for.
"""

import codecs
import re
from collections.abc import Generator
from typing import Final, TypeVar

import msgspec

from proxy.errors import InvalidRequest
from proxy.wire.field_names import COMMON_NAMES, check_name, check_names
from proxy.wire.json_scan import STEP_BYTES, nesting_exceeds, nesting_in_steps
from proxy.wire.schemas import Body

T = TypeVar("T")

MAX_DEPTH: Final = 64
#: Objects and lists a body may open: this many, or one for every 16 bytes of a large body.
MAX_BRACKETS: Final = 20_000
#: Characters of a model's name.
MAX_MODEL_CHARACTERS: Final = 1_024
#: Bytes of the same with its quotes, where every character is an escape.
MAX_ESCAPED_MODEL_BYTES: Final = 12 * MAX_MODEL_CHARACTERS + 2
#: Fields of a body, the repeated ones too; small bodies may have as many as they hold.
MAX_FIELDS: Final = 1_000
#: Bytes of a field's name in a large body.
MAX_FIELD_NAME_BYTES: Final = 1_024
#: Bytes from which on a body is large: it is read in steps, and field by field.
LARGE_BODY_BYTES: Final = 65_536
#: Requests that one body of Gemini's may hold.
MAX_REQUESTS: Final = 2_000
#: Numbers that JSON has no word for, in one body.
MAX_LITERALS: Final = 100_000

#: Bytes from which on a body is worth rendering in chunks.
MIN_CHUNKED_BYTES: Final = 16_384
#: Data URLs that are looked for; in a body with more of them everything counts as text.
MAX_DATA_URLS: Final = 4_096

#: Where a body of Gemini's holds a request with a model of its own, in both spellings that its servers take.
_INNER_REQUESTS: Final = ("generateContentRequest", "generate_content_request")
_TRUE: Final = msgspec.Raw(b"true")
_FALSE: Final = msgspec.Raw(b"false")
_NULL: Final = msgspec.Raw(b"null")
_USAGE_ONLY: Final = msgspec.Raw(b'{"include_usage":true}')
_USAGE_MEMBER: Final = b',"stream_options":{"include_usage":true}}'
_BASE64_MARK: Final = b";base64,"
_BASE64_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_base64_run = re.compile(rb"[A-Za-z0-9+/=]*")
_POSITION = re.compile(r"\(byte (\d+)\)")
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
_BLANK = re.compile(rb"[ \t\r\n]*+")
_BLANKS: Final = b" \t\r\n"
_NO_SURROGATES: Final = bytes.maketrans(b"dD", b"cC")
#: What other JSON writers make of floats that are no numbers, and what stands for each while a body is parsed.
_LITERALS: Final = ((b"NaN", b"100"), (b"Infinity", b"10000000"))
#: What makes another word or number of it.
_GLUED: Final = re.compile(rb"[\w.+-]")
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw = msgspec.json.Decoder(msgspec.Raw)
_encoder = msgspec.json.Encoder()
_string = msgspec.json.Decoder(str)


def parse_body(data: bytes, named: str = "") -> Body:
    """Parse a JSON body that holds its model; a model `named` by the path replaces it.

    Raises `InvalidRequest`, with the byte position where it is known, when it is no JSON object, nests too deep, is
    not UTF-8, or `model` or `stream` are not what they must be.
    """
    return _parsed(data, decode_object(data), named)


def parse_body_in_steps(data: bytes, named: str = "") -> Generator[None, None, Body]:
    """`parse_body` for a large body, in steps of a few milliseconds."""
    return _parsed(data, (yield from decode_in_steps(data)), named)


def parse_body_without_model(data: bytes, model: str, stream: bool) -> Body:
    """Parse a JSON body whose model, and whether it streams, come from the path. Raises `InvalidRequest`."""
    return _parsed_without_model(data, decode_object(data), model, stream)


def parse_body_without_model_in_steps(data: bytes, model: str, stream: bool) -> Generator[None, None, Body]:
    """`parse_body_without_model` for a large body, in steps of a few milliseconds."""
    return _parsed_without_model(data, (yield from decode_in_steps(data)), model, stream)


def decode_object(data: bytes) -> dict[str, msgspec.Raw]:
    """Decode a JSON object into raw values, behind the bounds; raises `InvalidRequest`."""
    if not data:
        raise _empty()
    if len(data) >= LARGE_BODY_BYTES:
        return run_steps(decode_in_steps(data))
    if nesting_exceeds(data, MAX_DEPTH, max(MAX_BRACKETS, len(data) // 16)):
        raise _too_nested()
    try:
        if not data.isascii():
            data.decode()
        return _decoder.decode(data)
    except UnicodeDecodeError as error:
        raise _not_utf8(error.start) from error
    except msgspec.ValidationError as error:
        raise InvalidRequest("The request body must be a JSON object.") from error
    except (msgspec.DecodeError, RecursionError) as error:
        if not may_be_lenient(data):
            raise InvalidRequest(f"The request body is not valid JSON: {_reason(error, data)}.") from error
    return run_steps(_fields(data))


def run_steps(steps: Generator[None, None, T]) -> T:
    """Run all steps of a generator at once; return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def _parsed(data: bytes, fields: dict[str, msgspec.Raw], named: str) -> Body:
    for name in fields:
        if name not in COMMON_NAMES:
            check_name(name)
    if named:
        check_model(named)
        fields["model"] = msgspec.Raw(_encoder.encode(named))
    model = named or _model(fields.get("model"))
    asked = fields.get("stream")
    stream = asked is not None and (asked == _TRUE or _boolean(asked, "stream"))
    wants_usage = False
    options = fields.get("stream_options")
    if stream and options is not None and options != _NULL:
        asked_for = _object(options, "stream_options")
        check_names(asked_for)
        wants_usage = _boolean(asked_for.get("include_usage"), "stream_options.include_usage")
    return Body(fields, model, stream, wants_usage, data=data)


def _parsed_without_model(data: bytes, fields: dict[str, msgspec.Raw], model: str, stream: bool) -> Body:
    check_model(model)
    check_names(fields)
    _check_repeated(fields)
    return Body(fields, model, stream, wants_usage=True, holds_model=False, data=data)


def check_model(name: str) -> None:
    """Refuse a model's name that is too long to be one, before anything looks at it. Raises `InvalidRequest`."""
    if len(name) > MAX_MODEL_CHARACTERS:
        raise _too_long()


def _too_long() -> InvalidRequest:
    return InvalidRequest(f"The model's name is longer than {MAX_MODEL_CHARACTERS} characters.", param="model")


def decode_in_steps(data: bytes) -> Generator[None, None, dict[str, msgspec.Raw]]:
    """`decode_object`, in steps of a few milliseconds."""
    if not data:
        raise _empty()
    if (yield from nesting_in_steps(data, MAX_DEPTH, max(MAX_BRACKETS, len(data) // 16))):
        raise _too_nested()
    begin = 0
    while begin < len(data):
        piece = data[begin : begin + STEP_BYTES]
        if piece.isascii():
            begin += len(piece)
        else:
            try:
                _, size = codecs.utf_8_decode(piece, "strict", begin + STEP_BYTES >= len(data))
            except UnicodeDecodeError as error:
                raise _not_utf8(begin + error.start) from error
            begin += size
        yield
    return (yield from _fields(data))


def _fields(data: bytes) -> Generator[None, None, dict[str, msgspec.Raw]]:
    """The fields of a JSON object, each looked at by itself; `data` is known to be text and not to nest too deep."""
    view = memoryview(data)
    reader = _Reader(data)
    fields: dict[str, msgspec.Raw] = {}
    at = reader.blank(0)
    if data[at : at + 1] != b"{":
        # The parser says what it is, if it is JSON at all.
        reader.skip(at)
        raise InvalidRequest("The request body must be a JSON object.")
    at = reader.blank(at + 1)
    count = 0
    if data[at : at + 1] != b"}":
        while True:
            if data[at : at + 1] != b'"':
                what = "trailing comma in object" if data[at : at + 1] == b"}" else "object keys must be strings"
                raise reader.broken(what, at)
            end = reader.skip(at)
            if end - at > MAX_FIELD_NAME_BYTES:
                raise InvalidRequest(
                    f"A name in the request body is longer than {MAX_FIELD_NAME_BYTES} bytes (byte {at})."
                )
            name = _name(data[at:end].rstrip(), at)
            if data[end : end + 1] != b":":
                raise reader.broken("expected ':'", end)
            at = reader.blank(end + 1)
            end = reader.skip(at)
            value = view[at:end]
            if data[end - 1] in _BLANKS:
                value = value[: len(data[at:end].rstrip())]
            fields[name] = msgspec.Raw(value)
            count += 1
            if count > MAX_FIELDS and len(data) >= LARGE_BODY_BYTES:
                raise InvalidRequest(f"The request body has more than {MAX_FIELDS} fields.")
            if end - at >= LARGE_BODY_BYTES:
                yield
            if data[end : end + 1] == b"}":
                at = end
                break
            if data[end : end + 1] != b",":
                raise reader.broken("expected ',' or '}'", end)
            at = reader.blank(end + 1)
    at = reader.blank(at + 1)
    if at < len(data):
        raise reader.broken("trailing characters", at)
    return fields


class _Reader:
    """Finds where a value of a JSON text ends; nothing of it is built."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        #: What is parsed: the data, or, once that cannot be, a text of the same length that can.
        self._view = memoryview(data)
        self._lenient = False

    def blank(self, at: int) -> int:
        """Where the next byte stands that is no blank."""
        match = _BLANK.match(self._data, at)
        return match.end() if match is not None else at

    def skip(self, at: int) -> int:
        """Where the byte behind a value, and the blanks behind it, stands. Raises `InvalidRequest`."""
        error: Exception
        try:
            _raw.decode(self._view[at:])
            return len(self._data)
        except msgspec.DecodeError as caught:
            error = caught
        except RecursionError as caught:
            raise _too_nested() from caught
        trailing = _TRAILING.search(str(error))
        if trailing is not None:
            return at + int(trailing[1]) - 1
        if not self._lenient and may_be_lenient(self._data):
            self._lenient = True
            self._view = memoryview(_strict_text(self._data))
            return self.skip(at)
        position = _POSITION.search(str(error))
        if position is None:
            raise self.broken("", len(self._data)) from error
        what = str(error).removeprefix("JSON is malformed: ").split(" (byte")[0]
        raise self.broken(what, at + int(position[1])) from error

    def broken(self, what: str, at: int) -> InvalidRequest:
        """The error for something that stands there, or for the end of the text."""
        where = f"{what} at byte {at}" if at < len(self._data) else f"it ends too early, at byte {len(self._data)}"
        return InvalidRequest(f"The request body is not valid JSON: {where}.")


def may_be_lenient(data: bytes) -> bool:
    """Whether what the parser refuses may be half a surrogate pair, or a number that JSON has no word for."""
    return b"\\ud" in data or b"\\uD" in data or b"NaN" in data or b"Infinity" in data


def _strict_text(data: bytes) -> bytes:
    """A text of the same length that differs where the parser refuses more than it must."""
    # No surrogate begins with c, and neither an escape nor a word of JSON has one: what was wrong is still wrong.
    text = data.translate(_NO_SURROGATES) if b"\\u" in data else data
    if text.count(b"NaN") + text.count(b"Infinity") > MAX_LITERALS:
        return text
    changed = bytearray(text)
    for word, number in _LITERALS:
        at = text.find(word)
        while at >= 0:
            end = at + len(word)
            before = at - 1 if word == b"Infinity" and text[at - 1 : at] == b"-" else at
            if _GLUED.match(text, end) is None and _GLUED.match(text[before - 1 : before]) is None:
                changed[at:end] = number
            at = text.find(word, end)
    return bytes(changed)


def _name(raw: bytes, at: int) -> str:
    try:
        return _string.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"A name in the request body cannot be read (byte {at}).") from error


def _empty() -> InvalidRequest:
    return InvalidRequest("The request body is empty. Send a JSON object with at least a 'model'.")


def _too_nested() -> InvalidRequest:
    return InvalidRequest(f"The request body nests deeper than {MAX_DEPTH} levels or holds too many objects.")


def _not_utf8(at: int) -> InvalidRequest:
    return InvalidRequest(f"The request body is not valid UTF-8 (byte {at}).")


def render_body(body: Body, model: str, include_usage: bool) -> bytes:
    """Put a body together again with another model name, and, if asked, with `stream_options.include_usage` set."""
    fields = dict(body.fields)
    if body.holds_model:
        fields["model"] = msgspec.Raw(_encoder.encode(model))
    else:
        _repeat_model(fields, msgspec.Raw(_encoder.encode(f"models/{model}")))
    if include_usage:
        options = fields.get("stream_options")
        if options is None or options == _NULL:
            fields["stream_options"] = _USAGE_ONLY
        else:
            merged = _object(options, "stream_options")
            merged["include_usage"] = _TRUE
            fields["stream_options"] = msgspec.Raw(_encoder.encode(merged))
    return _encoder.encode(fields)


def render_chunks(body: Body, model: str, include_usage: bool) -> list[bytes | memoryview]:
    """A large body with another model name, in chunks that are sent one behind the other: nothing of it is copied.

    A single one where it cannot be certain that `render_body` would give the same bytes.
    """
    place = _model_span(body) if body.holds_model else None
    if place is None or (include_usage and "stream_options" in body.fields):
        return [render_body(body, model, include_usage)]
    start, end = place
    view = memoryview(body.data)
    name = _encoder.encode(model)
    if include_usage:
        return [view[:start], name, view[end:-1], _USAGE_MEMBER]
    return [view[:start], name, view[end:]]


def _model_span(body: Body) -> tuple[int, int] | None:
    """Where the model's value stands, or None where the body is written in any other way than `render_body` would.

    Each field takes at least its name, its value, two quotes, a colon and what stands behind it. So a text that is no
    longer than all of that has no space between them, no name written with escapes, and above all no name twice.
    """
    start = end = 0
    position = 1
    for name, raw in body.fields.items():
        if not (name.isascii() and name.isidentifier()):
            return None
        position += len(name) + 3
        if name == "model":
            start, end = position, position + len(raw)
        position += len(raw) + 1
    if position != len(body.data) or body.data[start:end] != bytes(body.fields["model"]):
        return None
    return start, end


def without_payload(body: Body) -> Body:
    """The body without its fields, once it will not be sent again: a long stream must not keep a long prompt."""
    return Body({}, body.model, body.stream, body.wants_usage, body.holds_model)


def _repeat_model(fields: dict[str, msgspec.Raw], model: msgspec.Raw) -> None:
    """Write the model into a Gemini body wherever it repeats that of the path, which must be the same."""
    if bytes(fields.get("model", b"")).startswith(b'"'):
        fields["model"] = model
    for name in _INNER_REQUESTS:
        if name in fields:
            fields[name] = _with_model(fields[name], model)
    if "requests" in fields:
        requests = [_with_model(one, model) for one in items_of(bytes(fields["requests"]))]
        if requests:
            fields["requests"] = msgspec.Raw(_encoder.encode(requests))


def _with_model(raw: msgspec.Raw, model: msgspec.Raw) -> msgspec.Raw:
    data = bytes(raw)
    if not data.startswith(b"{"):
        return raw
    fields = run_steps(_fields(data))
    if not bytes(fields.get("model", b"")).startswith(b'"'):
        return raw
    fields["model"] = model
    return msgspec.Raw(_encoder.encode(fields))


def _check_repeated(fields: dict[str, msgspec.Raw]) -> None:
    """Look at what `_repeat_model` writes anew, before it does. Raises `InvalidRequest`."""
    inner = [fields[name] for name in _INNER_REQUESTS if name in fields]
    if "requests" in fields:
        inner += items_of(bytes(fields["requests"]))
    for raw in inner:
        data = bytes(raw)
        if data.startswith(b"{"):
            check_names(run_steps(_fields(data)))


def items_of(data: bytes) -> list[msgspec.Raw]:
    """The items of a list that was found in a body; none where it is no list. Raises `InvalidRequest` for too many."""
    if not data.startswith(b"["):
        return []
    reader = _Reader(data)
    found: list[msgspec.Raw] = []
    at = reader.blank(1)
    while data[at : at + 1] not in (b"]", b""):
        end = reader.skip(at)
        found.append(msgspec.Raw(data[at:end].rstrip()))
        if len(found) > MAX_REQUESTS:
            raise InvalidRequest(f"The request body holds more than {MAX_REQUESTS} requests.", param="requests")
        at = reader.blank(end + 1) if data[end : end + 1] == b"," else end
    return found


def _model(raw: msgspec.Raw | None) -> str:
    if raw is None:
        raise InvalidRequest("You must provide a model parameter.", param="model")
    is_long = len(raw) > MAX_MODEL_CHARACTERS
    if is_long and len(raw) > MAX_ESCAPED_MODEL_BYTES:
        raise _too_long()
    try:
        model = _string.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest("The model must be a string.", param="model") from error
    if not model:
        raise InvalidRequest("You must provide a model parameter; it is empty.", param="model")
    if is_long:
        check_model(model)
    return model


def _boolean(raw: msgspec.Raw | None, name: str) -> bool:
    if raw is None or raw in (_FALSE, _NULL):
        return False
    if raw == _TRUE:
        return True
    raise InvalidRequest(f"'{name}' must be true or false.", param=name, code="invalid_type")


def _object(raw: msgspec.Raw, name: str) -> dict[str, msgspec.Raw]:
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"'{name}' must be an object.", param=name, code="invalid_type") from error


def _reason(error: Exception, data: bytes) -> str:
    text = str(error)
    position = _POSITION.search(text)
    if position:
        what = text.removeprefix("JSON is malformed: ").split(" (byte")[0]
        return f"{what} at byte {position.group(1)}"
    return f"it ends too early, at byte {len(data)}"


def text_bytes(data: bytes) -> int:
    """The size of a request body without the base64 of its data URLs."""
    # From the end: in a long text that is several times the speed of a search from the beginning.
    at = data.rfind(_BASE64_MARK)
    size = end = len(data)
    found = 0
    while at >= 0:
        found += 1
        if found > MAX_DATA_URLS:
            return len(data)
        encoded = _base64_size(data, at + len(_BASE64_MARK), end)
        if encoded:
            size -= len(_BASE64_MARK) + encoded
        end = at
        at = data.rfind(_BASE64_MARK, 0, end)
    return size


def _base64_size(data: bytes, begin: int, end: int) -> int:
    """How many bytes of base64 stand at the beginning of this part."""
    quote = data.find(b'"', begin, end)
    value = data[begin : quote if quote >= 0 else end]
    if not value.translate(None, _BASE64_BYTES):
        # All of the string, as nearly always; a pattern would take three times as long to say so.
        return len(value)
    match = _base64_run.match(value)
    return match.end() if match is not None else 0
