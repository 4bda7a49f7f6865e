"""Help texts from doc comments, and values written as TOML."""

import tomllib

import msgspec
import pytest

from proxy.config.fields import help_texts, settings, toml_string, toml_value
from proxy.config.tree import Model, Server


def test_a_comment_of_several_lines_is_one_text() -> None:
    class Section(msgspec.Struct):
        #: One
        #: and two.
        field: int
        bare: int

    assert help_texts(Section) == {"field": "One and two."}


def test_a_class_without_source_has_no_texts() -> None:
    assert help_texts(msgspec.defstruct("Made", ["field"])) == {}


def test_settings_tell_default_and_need() -> None:
    found = {setting.name: setting for setting in settings(Server)}
    assert (found["port"].default, found["port"].kind) == ("8080", "an integer from 0 to 65535")
    assert [setting.name for setting in settings(Model) if setting.required] == ["capability", "targets"]


@pytest.mark.parametrize("text", ["", "plain", 'q"uote', "back\\slash", "line\nbreak", "\x00\x7f", "ü", "\U000e0001"])
def test_strings_survive_toml(text: str) -> None:
    assert tomllib.loads(f"a = {toml_string(text)}") == {"a": text}


@pytest.mark.parametrize("value", [True, False, 1, 1.5, ["a", "b"], "x"])
def test_values_survive_toml(value: object) -> None:
    assert tomllib.loads(f"a = {toml_value(value)}") == {"a": value}
