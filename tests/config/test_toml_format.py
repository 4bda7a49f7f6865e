"""Keys and values are read back by a TOML parser as they were."""

import tomllib

import pytest

from proxy.config.toml_format import toml_key, toml_string, toml_value


@pytest.mark.parametrize("text", ["", "plain", 'q"uote', "back\\slash", "line\nbreak", "\x00\x7f", "ü", "\U000e0001"])
def test_strings_survive_toml(text: str) -> None:
    assert tomllib.loads(f"a = {toml_string(text)}") == {"a": text}


@pytest.mark.parametrize("value", [True, False, 1, 1.5, ["a", "b"], "x"])
def test_values_survive_toml(value: object) -> None:
    assert tomllib.loads(f"a = {toml_value(value)}") == {"a": value}


@pytest.mark.parametrize(
    ("name", "text"), [("a-b_1", "a-b_1"), ("a b", '"a b"'), ("", '""'), ("ü", '"ü"'), ('a"b', '"a\\"b"')]
)
def test_keys_survive_toml_and_are_bare_where_they_may_be(name: str, text: str) -> None:
    assert toml_key(name) == text
    assert tomllib.loads(f"{text} = 1") == {name: 1}
