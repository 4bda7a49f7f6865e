"""Lines of keys in TOML texts: each way of writing a key is found, and nothing makes the scanner fail."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.toml_positions import Path, dotted, locate, nearest

TEXT = '''\
# a comment with [a.table] and key = 1
top = 1
[server]
port = 80   # [not.a.table]
"quoted key" = { inner = 1, deep.er = [1, { x = 2 }] }

[models."a b".price]
input = "1"
note = """
[fake]
fake = 1
"""
literal = \'\'\'
[fake]\'\'\'
list = [
  "one", # comment, with a comma
  "two",
  [3.5, 1979-05-27 07:32:00],
]
dotted.key.here = true
[[many]]
a = 1
[[many]]
a = 2
[many.sub]
b = 3
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("server",), 3),
        (("server", "port"), 4),
        (("server", "quoted key"), 5),
        (("server", "quoted key", "inner"), 5),
        (("server", "quoted key", "deep", "er", 1, "x"), 5),
        (("models", "a b", "price"), 7),
        (("models", "a b", "price", "input"), 8),
        (("models", "a b", "price", "literal"), 13),
        (("models", "a b", "price", "list", 0), 16),
        (("models", "a b", "price", "list", 1), 17),
        (("models", "a b", "price", "list", 2), 18),
        (("models", "a b", "price", "dotted", "key", "here"), 20),
        (("many", 0, "a"), 22),
        (("many", 1, "a"), 24),
        (("many", 1, "sub", "b"), 26),
    ],
)
def test_a_key_has_the_line_it_stands_on(path: Path, line: int) -> None:
    assert locate(TEXT)[path] == line


def test_what_looks_like_a_key_inside_a_string_is_none() -> None:
    assert not [path for path in locate(TEXT) if "fake" in path]


def test_carriage_returns_do_not_count_as_lines() -> None:
    assert locate("a = 1\r\n[b]\r\nc = 2\r\n")[("b", "c")] == 3


def test_a_missing_key_has_the_line_of_the_table_around_it() -> None:
    assert nearest(locate(TEXT), ("models", "a b", "price", "none")) == 7


def test_an_unknown_place_has_no_line() -> None:
    assert nearest({}, ("a", "b")) is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("a", "b-c_1"), "a.b-c_1"),
        (("models", "a b", "targets", 0), 'models."a b".targets[0]'),
        (("h", "x\r\n\x1b"), 'h."x\\u000d\\u000a\\u001b"'),
    ],
)
def test_a_path_is_written_as_toml_does(path: Path, text: str) -> None:
    assert dotted(path) == text


@given(st.text(alphabet="ab[]{}=,.\"'#\n \\1", max_size=60))
def test_any_text_is_survived(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = locate(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
