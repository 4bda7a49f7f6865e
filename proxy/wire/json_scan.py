"""Where a value stands in a JSON text: spans by path, for whole texts and for texts that arrive in pieces.

The whole-text scanner expects valid JSON (its callers have decoded it); the incremental one expects anything and
bounds what it keeps. Neither changes a byte: that is `rewrite`.
"""

import codecs
import re
from collections.abc import Generator
from typing import Final

import msgspec

_string = msgspec.json.Decoder(str)
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],]', re.DOTALL)
_OUTSIDE = re.compile(rb'["{}\[\],:]|[^\s"{}\[\],:]+')
_NESTED = re.compile(rb'["{}\[\]]')
_NESTED_BYTES = (b'"', b"{", b"}", b"[", b"]")
# So far a pattern looks for the next of them; beyond, each is looked for by itself, at many times its speed.
_NEAR = 128
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
MAX_FURTHER_BYTES: Final = 1_024
MAX_FURTHER: Final = 1_000
#: Times that a word's rare byte is looked at before the word itself is searched for.
_MOST_RARE = 64

_QUOTE, _OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _COMMA, _COLON, _BACKSLASH = b'"{}[],:\\'
#: What may stand outside every object.
_AT_TOP, _IN_ARRAY = b"{[", b"{],"
#: Values of an error's key that say that there was none, raw; and how those begin that need no look at their end.
NO_ERROR = (b"", b"null", b"false", b'""')
_NO_ERROR = b"nf"


def nesting_exceeds(data: bytes, depth: int, brackets: int) -> bool:
    """Whether a JSON text nests deeper than `depth` or opens more than `brackets` objects and lists.

    Runs at the speed of `bytes` methods whatever the text is, so that it can stand in front of a recursive parser. For
    the same reason strings that hold brackets count too. Of a text that is not JSON it may say either.
    """
    if _opens_at_most(data, depth):
        return False
    return _bare_exceeds(_structure(data), depth, brackets)


def nesting_in_steps(data: bytes, depth: int, brackets: int) -> Generator[None, None, bool]:
    """The same for a large text, in steps of a few milliseconds: whoever runs it may do something else between them."""
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
    """The same of a text's brackets and quotes alone."""
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
    """Whether a long text holds a word, which is looked for by a byte of it that few texts hold often."""
    inside = word.index(rare)
    at = data.find(rare, inside)
    for _ in range(_MOST_RARE):
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
    near = _NESTED.search(data, position, position + _NEAR)
    if near is not None:
        return near.start()
    position += _NEAR
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


class TopLevelScanner:
    """Follows a JSON object, or an array of objects, that arrives in pieces; finds string values of one key of theirs,
    keeps another key's value, and notices an error.

    `feed` gives the pieces back as a list in which every string at the top-level key `key` is replaced by
    `replacement` (an empty string stays). A value that may have to be replaced is held back until it is whole, so at
    most `value_limit` bytes are ever kept; `capture` (the raw value of `captured_key`) and `error` (that of
    `error_key`), at most `capture_limit` bytes each, are the other things kept, and in `values` the short ones of the
    keys `further`. The objects at the keys of `parts`, and those in arrays there, are searched too, each for a capture,
    an error where the part says so, and keys of its own. Depth is only counted, so nesting costs no memory.
    """

    __slots__ = (
        "_array",
        "_capture",
        "_capture_from",
        "_captured_key",
        "_depth",
        "_error_key",
        "_escape",
        "_expect",
        "_further",
        "_held",
        "_in_string",
        "_keep",
        "_kept",
        "_key",
        "_limits",
        "_name",
        "_part",
        "_part_from",
        "_replacement",
        "_suspect",
        "closed",
        "error",
        "found",
        "overflow",
        "parts",
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
        parts: tuple[tuple[bytes, bool, tuple[bytes, ...]], ...] = (),
        value_limit: int = 4096,
        capture_limit: int = 65_536,
    ) -> None:
        self._key = key
        self._replacement = replacement
        self._captured_key = captured_key
        self._error_key = error_key
        self._further = further
        self._limits = (value_limit, capture_limit)
        self._depth = 0
        self._array = False
        self._in_string = False
        self._escape = False
        #: What the next token at depth 1 is: a key, a value, or nothing of interest.
        self._expect = b""
        self._name = bytearray()
        #: The value being held back, or None.
        self._held: bytearray | None = None
        #: The value being kept, or None; and the key that it stands at.
        self._keep: bytearray | None = None
        self._kept = b""
        self._capture_from = -1
        self._capture = b""
        #: The value being kept is an error, unless its end says otherwise.
        self._suspect = False
        #: The short values of the further keys, raw, in their order; so many of each at the most.
        self.values: dict[bytes, list[bytes]] = {}
        #: A scanner for each part, by its key; the one that is being fed, and from where on.
        self.parts = {
            name: TopLevelScanner(
                b"",
                b'""',
                captured_key,
                error_key=error_key if has_errors else b"",
                further=its_own,
                value_limit=value_limit,
                capture_limit=capture_limit,
            )
            for name, has_errors, its_own in parts
        }
        self._part: TopLevelScanner | None = None
        self._part_from = -1
        #: The last value of the error's key that says that there was one, raw, or b"".
        self.error = b""
        #: The last value replaced, raw, with its quotes, or b"".
        self.found = b""
        #: The object, or the array, ended.
        self.closed = False
        #: A held or captured value passed its limit.
        self.overflow = False
        #: Something stood outside the object, or the array's objects.
        self.stray = False

    @property
    def capture(self) -> bytes:
        """The last value of the captured key, raw, or b""."""
        return self._capture

    @property
    def failing(self) -> bool:
        """An error was found, or a value that will be one unless its end says otherwise is being read."""
        return bool(self.error) or self._suspect or any(part.failing for part in self.parts.values())

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece; return what can go on, in order."""
        out: list[bytes] = []
        sent = 0
        position = 0
        end = len(data)
        known = [-1] * len(_NESTED_BYTES)
        if self._keep is not None:
            self._capture_from = 0
        if self._part is not None:
            self._part_from = 0
        while position < end:
            if self._in_string:
                position, sent = self._string(data, position, sent, out)
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
        if self._keep is not None:
            self._keep += data[self._capture_from :]
            if len(self._keep) > self._limits[1]:
                self._keep = None
                self.overflow = self.overflow or self._kept not in self._further
        if self._part is not None:
            self._part.feed(data[self._part_from :])
        if self._held is not None:
            self._held += data[sent:]
            if len(self._held) > self._limits[0]:
                out.append(bytes(self._held))
                self._held = None
                self.overflow = True
        elif sent < end:
            out.append(data[sent:] if sent else data)
        return out

    def _string(self, data: bytes, position: int, sent: int, out: list[bytes]) -> tuple[int, int]:
        """Go on inside a string until it ends or the piece does."""
        begin = position
        end = len(data)
        if self._escape:
            self._escape = False
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
            self._escape = True
            position = end
        else:
            self._in_string = False
            position = stop + 1
        if self._depth == 1:
            if self._expect == b"key":
                if len(self._name) < 256:
                    self._name += data[begin:position]
                if not self._in_string:
                    self._expect = b"colon"
            elif not self._in_string:
                if self._held is not None:
                    sent = self._replace(data, position, sent, out)
                self._expect = b""
        return position, sent

    def _replace(self, data: bytes, position: int, sent: int, out: list[bytes]) -> int:
        held = self._held
        assert held is not None
        held += data[sent:position]
        value = bytes(held)
        self._held = None
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
        """One structural byte, or the first byte of a scalar, outside strings."""
        kind = data[at]
        if not self._depth and (self.closed or kind not in (_IN_ARRAY if self._array else _AT_TOP)):
            self.stray = True
        if kind == _QUOTE:
            self._in_string = True
            if self._depth == 1:
                if self._expect == b"key":
                    self._name.clear()
                elif self._expect == b"value" and self._matches(self._key):
                    if at > sent:
                        out.append(data[sent:at])
                    self._held = bytearray()
                    # The opening quote belongs to the held value; `_replace` adds the rest from `sent` on.
                    return at
                else:
                    self._begin_capture(at, kind)
        elif kind == _OPEN_LIST and self._depth == 0:
            self._array = True
        elif kind in (_OPEN, _OPEN_LIST):
            if self._depth == 1:
                self._begin_capture(at, kind)
                self._expect = b""
            self._depth += 1
            if self._depth == 1 and kind == _OPEN:
                self._expect = b"key"
        elif kind in (_CLOSE, _CLOSE_LIST):
            if self._depth == 1:
                self._end_capture(data, at)
            self.closed = self._depth == (0 if self._array else 1)
            self._depth = max(0, self._depth - 1)
        elif self._depth == 1:
            if kind == _COMMA:
                self._end_capture(data, at)
                self._expect = b"key"
            elif kind == _COLON:
                if self._expect == b"colon":
                    self._expect = b"value"
            elif self._expect == b"value":
                self._begin_capture(at, kind)
                self._expect = b""
        return sent

    def _matches(self, key: bytes) -> bool:
        name = self._name[:-1]
        return name == key if b"\\" not in name else _unescaped(b'"' + name + b'"') == key.decode()

    def _begin_capture(self, at: int, kind: int) -> None:
        """A value begins at the top level: keep it, or have a part's scanner read it, where it is one of those."""
        if self._expect != b"value":
            return
        for key in (self._error_key, self._captured_key, *self._further):
            if key and self._matches(key):
                self._keep = bytearray()
                self._kept = key
                self._capture_from = at
                self._suspect = key == self._error_key and kind not in _NO_ERROR
                return
        if kind in (_OPEN, _OPEN_LIST):
            for name, part in self.parts.items():
                if self._matches(name):
                    self._part = part
                    self._part_from = at

    def _end_capture(self, data: bytes, at: int) -> None:
        if self._part is not None:
            self._part.feed(data[self._part_from : at])
            self._part = None
        if self._keep is not None:
            self._keep += data[self._capture_from : at]
            value = bytes(self._keep).strip()
            self._keep = None
            self._suspect = False
            if self._kept in self._further:
                known = self.values.setdefault(self._kept, [])
                if len(value) <= MAX_FURTHER_BYTES and len(known) < MAX_FURTHER:
                    known.append(value)
            elif len(value) > self._limits[1]:
                self.overflow = True
            elif self._kept == self._error_key:
                if value not in NO_ERROR:
                    self.error = value
            elif value != b"null":
                self._capture = value
