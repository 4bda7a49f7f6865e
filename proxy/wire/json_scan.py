"""Finds values in a JSON text by their path: in whole texts, and in texts that arrive in pieces.

The whole-text scanner expects valid JSON (its callers have decoded it); the incremental one expects anything and
bounds what it keeps. `TopLevelScanner` alone replaces a value.
"""

import codecs
import re
from collections.abc import Generator
from typing import Final, NamedTuple

import msgspec

_string = msgspec.json.Decoder(str)
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],]', re.DOTALL)
_OUTSIDE = re.compile(rb'["{}\[\],:]|[^\s"{}\[\],:]+')
_NESTED = re.compile(rb'["{}\[\]]')
_NESTED_BYTES = (b'"', b"{", b"}", b"[", b"]")
# So far a pattern looks for the next of them; beyond, each is looked for by itself, at many times its speed.
_NEAR_BYTES = 128
# From the first escape of a string on: to its end, to that of the text, or to a backslash that is the text's last byte.
_ESCAPED = re.compile(rb'(?:\\.[^"\\]*+)*+', re.DOTALL)
_STRUCTURE = bytes.maketrans(b"{}", b"[]")
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'[]{}"')
# With these in their places, whatever stands behind a backslash makes with it an escape that Python knows, of another
# byte than it is alone: `a` and `b` for brackets, `n` for quotes, `t` for everything else.
_OTHERS = bytes(byte for byte in range(256) if byte not in b'{[}]"\\')
_ESCAPABLE = bytes.maketrans(b'{[}]"\\' + _OTHERS, b"aabbn\\" + b"t" * len(_OTHERS))
_UNESCAPABLE = bytes.maketrans(b"abn", b'[]"')
_NOT_ESCAPABLE = bytes(byte for byte in range(256) if byte not in b"abn")
#: Bytes of a large text that are looked at in one step.
STEP_BYTES: Final = 1_048_576
#: Bytes of a value of a further key that are kept, and how many of each.
MAX_FURTHER_VALUE_BYTES: Final = 1_024
MAX_FURTHER_VALUES: Final = 1_000
#: Times that a word's rare byte is looked at before the word itself is searched for.
_MAX_RARE_LOOKUPS = 64

_QUOTE, _OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _COMMA, _COLON, _BACKSLASH = b'"{}[],:\\'
#: What may stand outside every object.
_AT_TOP, _IN_ARRAY = b"{[", b"{],"
#: Values of an error's key that say that there was none, raw; and how those begin that need no look at their end.
NO_ERROR = (b"", b"null", b"false", b'""')
_NO_ERROR = b"nf"
#: Bytes of a key that are kept.
_MAX_KEY_BYTES: Final = 256
# States of the scanner: where it stands as to strings (0 is false), and what it expects next at depth 1.
_OUTSIDE_STRING: Final = 0
_INSIDE_STRING: Final = 1
_BEHIND_BACKSLASH: Final = 2
_NOTHING: Final = 0
_KEY: Final = 1
_COLON_NEXT: Final = 2
_VALUE: Final = 3


def nesting_exceeds(data: bytes, depth: int, brackets: int) -> bool:
    """Whether a JSON text nests deeper than `depth` or opens more than `brackets` objects and lists.

    Runs at the speed of `bytes` methods whatever the text is, so that it can stand in front of a recursive parser. For
    the same reason strings that hold brackets count too. Of a text that is not JSON it may say either.
    """
    if _opens_at_most(data, depth):
        return False
    return _bare_exceeds(_structure(data), depth, brackets)


def nesting_in_steps(data: bytes, depth: int, brackets: int) -> Generator[None, None, bool]:
    """The same for a large text, in steps of a few milliseconds, between which the caller may do something else."""
    if _opens_at_most(data, depth):
        return False
    parts: list[bytes] = []
    quotes = 0
    begin = 0
    while begin < len(data):
        piece = data[begin : begin + STEP_BYTES]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2 and begin + STEP_BYTES < len(data):
            # The last backslash belongs to what stands behind it.
            piece = piece[:-1]
        begin += len(piece)
        part = _structure(piece).replace(b'""', b"")
        quotes += part.count(b'"')
        # Two pieces can have one such pair between them.
        if quotes > 2 * (brackets + len(parts)):
            return True
        parts.append(part)
        yield
    return _bare_exceeds(b"".join(parts), depth, brackets)


def _bare_exceeds(structure: bytes, depth: int, brackets: int) -> bool:
    """`nesting_exceeds`, for a text's brackets and quotes alone."""
    # Two quotes side by side change nothing about what is inside a string and what is not; what is left of the
    # strings are the odd parts between the quotes.
    bare = structure.replace(b'""', b"")
    if b'"' in bare:
        if bare.count(b'"') > 2 * brackets:
            return True
        bare = b"".join(bare.split(b'"')[::2])
    if len(bare) > 2 * brackets or b"[" * (depth + 1) in bare:
        return True
    for _ in range(depth):
        if b"[]" not in bare:
            break
        bare = bare.replace(b"[]", b"")
    # A few that are not closed are left to the parser, which can say where the text ends too early.
    return b"[]" in bare or bare.count(b"[") > depth


def _structure(data: bytes) -> bytes:
    """The brackets, each as a square one, and the quotes that no backslash stands before."""
    if b"\\" not in data:
        return data.translate(_STRUCTURE, _NOT_STRUCTURE)
    try:
        plain, _ = codecs.escape_decode(data.translate(_ESCAPABLE))
    except ValueError:
        # The last byte is a backslash that nothing follows.
        plain, _ = codecs.escape_decode(data[:-1].translate(_ESCAPABLE))
    return plain.translate(_UNESCAPABLE, _NOT_ESCAPABLE)


def contains_rare(data: bytes, word: bytes, rare: bytes) -> bool:
    """Whether a long text contains a word; searched by a byte of the word that is rare in most texts."""
    inside = word.index(rare)
    at = data.find(rare, inside)
    for _ in range(_MAX_RARE_LOOKUPS):
        if at < 0:
            return False
        if data.startswith(word, at - inside):
            return True
        at = data.find(rare, at + 1)
    # From the end: in a long text that is several times the speed of a search from the beginning.
    return at >= 0 and data.rfind(word, at - inside) >= 0


def _opens_at_most(data: bytes, limit: int) -> bool:
    """Whether there are at most so many opening brackets, inside strings too; long texts with few are passed fast."""
    left = limit
    for bracket in (b"{", b"["):
        at = data.find(bracket)
        while at >= 0:
            left -= 1
            if left < 0:
                return False
            at = data.find(bracket, at + 1)
    return True


def _next_nested(data: bytes, position: int, known: list[int]) -> int:
    """Where the next quote or bracket stands, or the end of the text.

    `known` holds for each kind where the last search of this text found it, so that none goes over it twice.
    """
    near = _NESTED.search(data, position, position + _NEAR_BYTES)
    if near is not None:
        return near.start()
    position += _NEAR_BYTES
    nearest = len(data)
    for number, kind in enumerate(_NESTED_BYTES):
        at = known[number]
        if at < position:
            at = data.find(kind, position)
            if at < 0:
                at = len(data)
            known[number] = at
        nearest = min(nearest, at)
    return nearest


def _unescaped(text: bytes) -> str | None:
    """The name that a string of JSON with escapes stands for; None for one that cannot be read."""
    try:
        return _string.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def spans(data: bytes, path: tuple[str, ...], start: int = 0) -> list[tuple[int, int]]:
    """The spans, quotes included, of every string that stands at `path` in the JSON object beginning at `start`, or in
    any object of the array beginning there.

    More than one means an array or a repeated key. Other values (null, numbers) at the path give none.
    """
    found: list[tuple[int, int]] = []
    depth = 0
    matched = 0
    last = len(path)
    expect_key = False
    hit = False
    for token in _TOKEN.finditer(data, start):
        begin = token.start()
        kind = data[begin]
        if kind == _OPEN_LIST and not depth:
            # An array of objects: each of them counts as the top.
            continue
        if kind == _QUOTE:
            if depth != matched + 1 or depth > last:
                continue
            if expect_key:
                expect_key = False
                text = token.group()
                name = text[1:-1].decode("utf-8", "replace") if b"\\" not in text else _unescaped(text)
                hit = name == path[matched]
            elif hit:
                hit = False
                if depth == last:
                    found.append(token.span())
        elif kind == _COMMA:
            if depth == matched + 1:
                expect_key = True
                hit = False
        elif kind == _OPEN:
            if hit and depth == matched + 1 and depth < last:
                matched += 1
            depth += 1
            expect_key = depth == matched + 1
            hit = False
        elif kind == _OPEN_LIST:
            depth += 1
            hit = False
            expect_key = False
        elif depth:
            depth -= 1
            if matched and depth == matched:
                matched -= 1
            expect_key = False
    return found


class Section(NamedTuple):
    """An object, or an array of objects, at a top-level key whose own keys are scanned too."""

    name: bytes
    captured_key: bytes = b""
    error_key: bytes = b""
    further: tuple[bytes, ...] = ()


class _Value:
    """A top-level value that has not ended yet: it is held to be replaced, kept, or fed to a section's scanner."""

    __slots__ = ("buffer", "is_held", "key", "may_be_error", "section", "start")

    def __init__(self, key: bytes, start: int, section: "TopLevelScanner | None" = None) -> None:
        self.key = key
        #: Where it begins in the piece that is being fed.
        self.start = start
        self.section = section
        self.buffer = bytearray()
        self.is_held = False
        #: It is an error, unless its end says otherwise.
        self.may_be_error = False


class TopLevelScanner:
    """Scans the top level of a JSON object, or of the objects of an array, that arrives in pieces, in bounded memory.

    `feed` returns the pieces as a list in which every string at `key` is replaced by `replacement` (an empty string
    stays). A value that may have to be replaced is held until it is whole, `value_limit` bytes of it at most. Kept are
    the raw values of `captured_key` and `error_key`, at most `capture_limit` bytes each, and the short ones of the keys
    `further`. The objects at the names of `sections` are scanned in the same way, but for replacements. Nesting is only
    counted, so it costs no memory. What is not JSON gives some result, and no error.
    """

    __slots__ = (
        "_array",
        "_depth",
        "_expected",
        "_keys",
        "_limits",
        "_name",
        "_replacement",
        "_string",
        "_value",
        "capture",
        "closed",
        "error",
        "found",
        "items",
        "overflow",
        "sections",
        "stray",
        "values",
    )

    def __init__(
        self,
        key: bytes,
        replacement: bytes,
        captured_key: bytes,
        *,
        error_key: bytes = b"",
        further: tuple[bytes, ...] = (),
        sections: tuple[Section, ...] = (),
        value_limit: int = 4096,
        capture_limit: int = 65_536,
    ) -> None:
        self._keys = (key, captured_key, error_key, further)
        self._replacement = replacement
        self._limits = (value_limit, capture_limit)
        self._depth = 0
        self._array = False
        #: Outside of strings, inside of one, or behind a backslash in one.
        self._string = _OUTSIDE_STRING
        #: What the next token at depth 1 is.
        self._expected = _NOTHING
        #: The key read last at depth 1, with its closing quote.
        self._name = bytearray()
        self._value: _Value | None = None
        #: A scanner for each section, by its name.
        self.sections = {
            section.name: TopLevelScanner(
                b"",
                b"",
                section.captured_key,
                error_key=section.error_key,
                further=section.further,
                value_limit=value_limit,
                capture_limit=capture_limit,
            )
            for section in sections
        }
        #: The short values of the further keys, raw, in their order; at most `MAX_FURTHER_VALUES` of each.
        self.values: dict[bytes, list[bytes]] = {}
        #: The last value of the captured key that is not null, raw, or b"".
        self.capture = b""
        #: The last value of the error's key that says that there was one, raw, or b"".
        self.error = b""
        #: The last value replaced, raw, with its quotes, or b"".
        self.found = b""
        #: How many items of the array have begun; 0 for an object.
        self.items = 0
        #: The object, or the array, ended.
        self.closed = False
        #: A held or captured value passed its limit.
        self.overflow = False
        #: Something stood outside the object, or the array's objects.
        self.stray = False

    @property
    def failing(self) -> bool:
        """An error was found, or a value that will be one unless its end says otherwise is being read."""
        if self.error or (self._value is not None and self._value.may_be_error):
            return True
        return any(section.failing for section in self.sections.values())

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece; return what can go on, in order."""
        out: list[bytes] = []
        sent = 0
        position = 0
        end = len(data)
        known = [-1] * len(_NESTED_BYTES)
        if self._value is not None:
            self._value.start = 0
        while position < end:
            if self._string:
                position, sent = self._in_string(data, position, sent, out)
                continue
            if self._depth > 1:
                at = _next_nested(data, position, known)
                position = at + 1
            else:
                match = _OUTSIDE.search(data, position)
                at, position = match.span() if match is not None else (end, end)
            if at == end:
                break
            sent = self._token(data, at, sent, out)
        self._carry_over(data, sent, out)
        return out

    def _carry_over(self, data: bytes, sent: int, out: list[bytes]) -> None:
        """The piece has ended: keep its part of the value that goes on in the next one, and let the rest pass."""
        value = self._value
        if value is not None and value.is_held:
            value.buffer += data[sent:]
            if len(value.buffer) > self._limits[0]:
                out.append(bytes(value.buffer))
                self._value = None
                self.overflow = True
            return
        if sent < len(data):
            out.append(data[sent:] if sent else data)
        if value is None:
            return
        if value.section is not None:
            value.section.feed(data[value.start :])
            return
        value.buffer += data[value.start :]
        if len(value.buffer) > self._limits[1]:
            self._value = None
            self.overflow = self.overflow or value.key not in self._keys[3]

    def _in_string(self, data: bytes, position: int, sent: int, out: list[bytes]) -> tuple[int, int]:
        """Go on inside a string until it ends or the piece does."""
        begin = position
        end = len(data)
        if self._string == _BEHIND_BACKSLASH:
            self._string = _INSIDE_STRING
            position += 1
        stop = data.find(b'"', position)
        if stop < 0:
            stop = end
        escape = data.find(b"\\", position, stop)
        if escape >= 0:
            behind = _ESCAPED.match(data, escape)
            assert behind is not None
            stop = behind.end()
        if stop == end:
            position = end
        elif data[stop] == _BACKSLASH:
            # The last byte, which escapes the next piece's first.
            self._string = _BEHIND_BACKSLASH
            position = end
        else:
            self._string = _OUTSIDE_STRING
            position = stop + 1
        if self._depth != 1:
            return position, sent
        if self._expected == _KEY:
            if len(self._name) < _MAX_KEY_BYTES:
                self._name += data[begin:position]
            if not self._string:
                self._expected = _COLON_NEXT
        elif not self._string:
            if self._value is not None and self._value.is_held:
                sent = self._replace(self._value.buffer, data[sent:position], position, out)
            self._expected = _NOTHING
        return position, sent

    def _replace(self, held: bytearray, rest: bytes, position: int, out: list[bytes]) -> int:
        """The held value ends with `rest` at `position`: put the replacement in its place."""
        value = bytes(held) + rest
        self._value = None
        if len(value) > self._limits[0]:
            out.append(value)
            self.overflow = True
        elif value == b'""':
            out.append(value)
        else:
            self.found = value
            out.append(self._replacement)
        return position

    def _token(self, data: bytes, at: int, sent: int, out: list[bytes]) -> int:
        """One structural byte, or the first byte of a scalar, outside strings; returns how much of the data is out."""
        kind = data[at]
        depth = self._depth
        if not depth:
            self._note_top(kind)
        if kind == _QUOTE:
            self._string = _INSIDE_STRING
            if depth == 1:
                return self._begin_string(data, at, sent, out)
        elif kind in (_OPEN, _OPEN_LIST):
            if depth == 1:
                self._begin_value(at, kind)
                self._expected = _NOTHING
            elif not depth and kind == _OPEN_LIST and not self._array:
                self._array = True
                self._expected = _VALUE
                return sent
            elif not depth and kind == _OPEN:
                self._expected = _KEY
            self._depth = depth + 1
        elif kind in (_CLOSE, _CLOSE_LIST):
            if depth == 1:
                self._end_value(data, at)
            self.closed = depth == (0 if self._array else 1)
            self._depth = max(0, depth - 1)
        elif depth == 1:
            self._separator(data, at, kind)
        return sent

    def _note_top(self, kind: int) -> None:
        """A token outside every object."""
        if self.closed or kind not in (_IN_ARRAY if self._array else _AT_TOP):
            self.stray = True
        if kind == _COMMA:
            self._expected = _VALUE
        elif self._array and self._expected == _VALUE and kind != _CLOSE_LIST:
            self._expected = _NOTHING
            self.items += 1

    def _separator(self, data: bytes, at: int, kind: int) -> None:
        """A comma, a colon, or the beginning of a number or a word, at depth 1."""
        if kind == _COMMA:
            self._end_value(data, at)
            self._expected = _KEY
        elif kind == _COLON:
            if self._expected == _COLON_NEXT:
                self._expected = _VALUE
        elif self._expected == _VALUE:
            self._begin_value(at, kind)
            self._expected = _NOTHING

    def _begin_string(self, data: bytes, at: int, sent: int, out: list[bytes]) -> int:
        """A string begins at depth 1: a key, a value to be replaced, or another one."""
        key = self._keys[0]
        if self._expected == _KEY:
            self._name.clear()
        elif self._expected == _VALUE and key and self._key_read() == key:
            if at > sent:
                out.append(data[sent:at])
            self._value = _Value(key, at)
            self._value.is_held = True
            # The opening quote belongs to the held value; `_replace` adds the rest from there on.
            return at
        else:
            self._begin_value(at, _QUOTE)
        return sent

    def _key_read(self) -> bytes:
        """The key read last, its escapes resolved; b"" for one that cannot be read."""
        name = bytes(self._name[:-1])
        return name if b"\\" not in name else (_unescaped(b'"' + name + b'"') or "").encode()

    def _begin_value(self, at: int, kind: int) -> None:
        """A value begins at depth 1: keep it, or have a section's scanner read it, where it is one of those."""
        if self._expected != _VALUE:
            return
        _, captured_key, error_key, further = self._keys
        key = self._key_read()
        if key and (key in (captured_key, error_key) or key in further):
            self._value = _Value(key, at)
            self._value.may_be_error = key == error_key and kind not in _NO_ERROR
        elif kind in (_OPEN, _OPEN_LIST) and key in self.sections:
            section = self.sections[key]
            section.closed = section._array = False
            section.items = 0
            self._value = _Value(key, at, section)

    def _end_value(self, data: bytes, at: int) -> None:
        """The value that began at depth 1 ends before `at`."""
        value = self._value
        if value is None:
            return
        self._value = None
        if value.section is not None:
            value.section.feed(data[value.start : at])
            return
        value.buffer += data[value.start : at]
        raw = bytes(value.buffer).strip()
        _, _, error_key, further = self._keys
        if value.key in further:
            known = self.values.setdefault(value.key, [])
            if len(raw) <= MAX_FURTHER_VALUE_BYTES and len(known) < MAX_FURTHER_VALUES:
                known.append(raw)
        elif len(raw) > self._limits[1]:
            self.overflow = True
        elif value.key == error_key:
            if raw not in NO_ERROR:
                self.error = raw
        elif raw != b"null":
            self.capture = raw
