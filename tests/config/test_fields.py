"""Settings with their help texts, which are doc comments."""

import msgspec

from proxy.config.fields import help_texts, settings
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


def test_settings_have_their_default_or_are_required() -> None:
    found = {setting.name: setting for setting in settings(Server)}
    assert (found["port"].default, found["port"].kind) == ("8080", "an integer from 0 to 65535")
    assert [setting.name for setting in settings(Model) if setting.required] == ["capability", "targets"]
