"""How keys are shown: nothing that a key has not, and never a secret."""

import pytest

from proxy.auth.keys import Key, StoredKey
from proxy.cli.key_view import KEY_HEADINGS, key_data, key_row, print_key
from proxy.config.tree import Limits


def test_a_key_has_a_cell_for_each_heading() -> None:
    stored = StoredKey("key_1", "app", None, 0, None, limits=Limits(concurrent=2), team_name="web", tags=("a", "b"))
    assert len(key_row(stored)) == len(KEY_HEADINGS)
    assert {"web", "a, b", "concurrent=2"} <= set(key_row(stored))
    assert len(key_row(Key("key_1", "demo", None, 0, None))) == len(KEY_HEADINGS)


def test_a_key_that_is_in_no_store_has_no_settings_as_json() -> None:
    assert "limits" not in key_data(Key("key_1", "demo", None, 0, None))
    assert key_data(StoredKey("key_1", "app", None, 0, None, credits=5))["credits"] == "0.000000005"


def test_all_of_a_key_is_printed_but_what_it_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    print_key(StoredKey("key_1", "app", None, 0, None, metadata={"owner": "me"}))
    shown = capsys.readouterr().out
    assert "metadata: owner=me" in shown
    assert "budget" not in shown
