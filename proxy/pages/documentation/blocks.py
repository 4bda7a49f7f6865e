"""What a page of documentation is made of, and its form in Markdown. A page is written once, as blocks.

Texts have two marks, as in Markdown: `code` in backticks and [links](url). Whatever comes from outside goes through
`plain` first. The form in HTML is that of the template `blocks.html`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, NamedTuple

_INLINE: Final = re.compile(r"\\(?P<char>.)|`(?P<code>[^`]+)`|\[(?P<label>[^\]]+)\]\((?P<url>[^)\s]+)\)")
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|#&~])")
#: Schemes, and beginnings without one, that a link may have.
_SAFE_URL: Final = re.compile(r"https?://|/|#|mailto:")


class Piece(NamedTuple):
    """A piece of a text, without marks."""

    kind: Literal["text", "code", "link"]
    text: str
    url: str = ""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Items:
    """A list."""

    kind: ClassVar[str] = "items"
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its head."""

    kind: ClassVar[str] = "table"
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Code:
    """Text that is copied as it is."""

    kind: ClassVar[str] = "code"
    language: str
    text: str
    label: str = ""


@dataclass(frozen=True)
class Sample:
    """One example in several languages."""

    kind: ClassVar[str] = "sample"
    id: str
    title: str
    text: str
    codes: tuple[Code, ...]


@dataclass(frozen=True)
class Insert:
    """What only the page in HTML has, by the name of its template; in Markdown it is a sentence."""

    kind: ClassVar[str] = "insert"
    template: str
    text: str


Block = Paragraph | Items | Table | Code | Sample | Insert


@dataclass(frozen=True)
class Section:
    """A part of a page, with its id in links."""

    id: str
    title: str
    blocks: tuple[Block, ...]


def one_line(text: str) -> str:
    """A text from outside as one line."""
    return " ".join(text.split())


def plain(text: str) -> str:
    """A text from outside, so that nothing in it is a mark."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def code(text: str) -> str:
    """A text from outside as code. A backtick, which would end it, has it written as plain text."""
    return plain(text) if "`" in text or "|" in text or "\\" in text else f"`{one_line(text)}`"


def pieces(text: str) -> Iterator[Piece]:
    """A text with its marks, piece by piece, for a template that escapes them."""
    end = 0
    for match in _INLINE.finditer(text):
        yield Piece("text", text[end : match.start()])
        end = match.end()
        if match["char"] is not None:
            yield Piece("text", match["char"])
        elif match["code"] is not None:
            yield Piece("code", match["code"])
        elif _SAFE_URL.match(match["url"]):
            yield Piece("link", match["label"], match["url"])
        else:
            yield Piece("text", match[0])
    yield Piece("text", text[end:])


def markdown(title: str, lead: str, sections: Iterable[Section]) -> str:
    """A page as Markdown."""
    lines = [f"# {title}", "", lead, ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_lines(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, Paragraph | Insert):
        yield block.text
    elif isinstance(block, Items):
        for text in block.texts:
            yield f"- {text}"
    elif isinstance(block, Table):
        yield f"| {' | '.join(block.heads)} |"
        yield "|" + "---|" * len(block.heads)
        for row in block.rows:
            yield f"| {' | '.join(row)} |"
    elif isinstance(block, Code):
        yield from _fenced(block)
    else:
        yield f"### {block.title}"
        yield ""
        yield block.text
        for one in block.codes:
            yield ""
            yield from _fenced(one)


def _fenced(block: Code) -> Iterator[str]:
    fence = "`" * max([2, *(len(run) for run in re.findall("`{3,}", block.text))]) + "`"
    yield f"{fence}{block.language}"
    yield block.text.rstrip("\n")
    yield fence
