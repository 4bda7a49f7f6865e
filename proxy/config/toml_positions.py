"""Line numbers of a TOML text: a map from the path of each key to its line.

This is no TOML parser: its input is a text that `tomllib` has accepted, and lines that it cannot determine are left
out. It must not raise: a missing line only makes a message less helpful.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping

from proxy.config.toml_format import toml_key

#: Keys as strings, indexes of arrays as numbers: ("models", "core", "targets", 0).
Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
      (?P<string>\"\"\"(?:[^\\]|\\.)*?\"{3,5} | '''.*?'{3,5} | "(?:[^"\\\n]|\\.)*" | '[^'\n]*')
    | (?P<comment>\#[^\n]*)
    | (?P<newline>\n)
    | (?P<space>[ \t\r]+)
    | (?P<mark>[\[\]{}=,.])
    | (?P<bare>[A-Za-z0-9_+:-]+)
    """,
    re.VERBOSE | re.DOTALL,
)


def locate(text: str) -> Mapping[Path, int]:
    """Return the line (from 1) of each table, key and array element of a valid TOML text."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def nearest(lines: Mapping[Path, int], path: Path) -> int | None:
    """Return the line of `path`, or of its closest parent that has one."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def dotted(path: Path) -> str:
    """Format a path as in TOML: models."my model".targets[0]."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
            continue
        out += f".{toml_key(part)}" if out else toml_key(part)
    return out


class _Scanner:
    """Scans the tokens in one pass, with one token of lookahead."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}
        self._tokens = _tokens(text)
        self._kind, self._text, self._line = next(self._tokens)

    def _advance(self) -> None:
        self._kind, self._text, self._line = next(self._tokens, ("end", "", self._line))

    def _skip_newlines(self) -> None:
        while self._kind == "newline":
            self._advance()

    def _at(self, mark: str) -> bool:
        return self._kind == "mark" and self._text == mark

    def document(self) -> None:
        table: Path = ()
        while self._kind != "end":
            self._skip_newlines()
            if self._at("["):
                table = self._header()
            elif self._kind in ("string", "bare"):
                self._pair(table)
            else:
                self._advance()

    def _header(self) -> Path:
        """Read `[a.b]` or `[[a.b]]`; the latter begins the next element of its array."""
        line = self._line
        self._advance()
        repeated = self._at("[")
        if repeated:
            self._advance()
        path = self._inside_arrays(self._key())
        while self._at("]"):
            self._advance()
        if repeated:
            index = self._arrays.get(path, -1) + 1
            self._arrays[path] = index
            self.lines.setdefault(path, line)
            path = (*path, index)
        self.lines[path] = line
        return path

    def _inside_arrays(self, key: Path) -> Path:
        """Insert indexes into the key of a header: a table inside an array of tables belongs to its last element."""
        path: Path = ()
        for number, part in enumerate(key):
            path = (*path, part)
            if path in self._arrays and number < len(key) - 1:
                path = (*path, self._arrays[path])
        return path

    def _key(self) -> Path:
        parts: list[str] = []
        while self._kind in ("string", "bare"):
            parts.append(_unquote(self._text))
            self._advance()
            if not self._at("."):
                break
            self._advance()
        return tuple(parts)

    def _pair(self, table: Path) -> None:
        line = self._line
        key = self._key()
        for length in range(1, len(key) + 1):
            self.lines.setdefault((*table, *key[:length]), line)
        if self._at("="):
            self._advance()
            self._value((*table, *key))

    def _value(self, path: Path) -> None:
        if self._at("["):
            self._array(path)
        elif self._at("{"):
            self._inline_table(path)
        else:
            # A number or date may be several tokens: 1.5, 1979-05-27 07:32:00.
            while self._kind in ("string", "bare") or self._at("."):
                self._advance()

    def _array(self, path: Path) -> None:
        self._advance()
        index = 0
        while self._kind != "end":
            self._skip_newlines()
            if self._at("]"):
                self._advance()
                return
            if self._at(","):
                index += 1
                self._advance()
            elif self._kind == "mark" and self._text not in "[{":
                self._advance()
            else:
                self.lines[(*path, index)] = self._line
                self._value((*path, index))

    def _inline_table(self, path: Path) -> None:
        self._advance()
        while self._kind != "end":
            self._skip_newlines()
            if self._at("}"):
                self._advance()
                return
            if self._kind in ("string", "bare"):
                self._pair(path)
            else:
                self._advance()


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    line = 1
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            position += 1
            continue
        kind = match.lastgroup or ""
        if kind not in ("comment", "space"):
            yield kind, match.group(), line
        line += match.group().count("\n")
        position = match.end()
    yield "end", "", line


def _unquote(text: str) -> str:
    """Decode a key: bare, literal, or basic with escapes, which tomllib decodes."""
    if not text.startswith(('"', "'")):
        return text
    value = tomllib.loads(f"key = {text}")["key"]
    return value if isinstance(value, str) else text
