"""The reference of the configuration: current in the documents, and its example is valid."""

from pathlib import Path

from proxy.config.load import parse
from proxy.config.tree import Model, Server
from tests.documents.configuration import reference, settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_example_of_the_reference_is_valid() -> None:
    text = reference().partition("```toml\n")[2].partition("```")[0]
    assert parse(text, Path("p.toml"), {"OPENAI_API_KEY": "sk"}).models["prometheus-core"].targets[0] == "openai/gpt-5"


def test_the_reference_in_the_documents_is_the_current_one() -> None:
    assert DOCUMENT.read_text() == reference(), "write docs/configuration.md again with `make docs`"


def test_settings_have_their_default_or_are_required() -> None:
    found = {setting.name: setting for setting in settings(Server)}
    assert (found["port"].default, found["port"].kind) == ("8080", "an integer from 0 to 65535")
    assert [setting.name for setting in settings(Model) if setting.required] == ["capability", "targets"]
