"""Blocks: a text is escaped in both forms, and a page in Markdown is what its blocks say."""

import pytest

from proxy.pages.documentation.blocks import (
    Code,
    Insert,
    Items,
    Paragraph,
    Piece,
    Sample,
    Section,
    Table,
    code,
    markdown,
    pieces,
    plain,
)


def text_of(text: str) -> str:
    return "".join(piece.text for piece in pieces(text))


@pytest.mark.parametrize(
    "outside", ["<script>alert(1)</script>", "`x`", "[a](javascript:alert(1))", "a|b", "\\`", "*b*", "a_b", "# x", "é"]
)
def test_a_text_from_outside_has_no_marks(outside: str) -> None:
    for text in (plain(outside), code(outside)):
        assert text_of(text) == outside
        assert {piece.kind for piece in pieces(text) if piece.text} <= {"text", "code"}


def test_a_line_break_from_outside_is_a_space() -> None:
    assert plain("a\n## b") == "a \\#\\# b"


def test_marks_become_pieces() -> None:
    assert [one for one in pieces("see `x` at [there](/errors).") if one.text] == [
        Piece("text", "see "),
        Piece("code", "x"),
        Piece("text", " at "),
        Piece("link", "there", "/errors"),
        Piece("text", "."),
    ]


def test_a_link_has_a_safe_address_or_is_text() -> None:
    assert [one.kind for one in pieces("[x](javascript:alert)") if one.text] == ["text"]


def test_a_page_as_markdown() -> None:
    blocks = (
        Paragraph("Hello."),
        Items(("one", "two")),
        Table("Things", ("A", "B"), (("`x`", "y"),)),
        Code("json", "{}\n"),
        Sample("example-x", "X", "Do it.", (Code("bash", "run ```", "curl"),)),
        Insert("x.html", "See the page."),
    )
    assert markdown("Title", "Lead.", [Section("s", "Part", blocks)]) == (
        "# Title\n\nLead.\n\n## Part\n\nHello.\n\n- one\n- two\n\n| A | B |\n|---|---|\n| `x` | y |\n\n"
        "```json\n{}\n```\n\n### X\n\nDo it.\n\n````bash\nrun ```\n````\n\nSee the page.\n"
    )
