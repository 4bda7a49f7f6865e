"""JSON objects as pairs: duplicate keys are all there, at every depth."""

import pytest

from proxy.policies.json_pairs import Pairs, read


def test_duplicate_keys_are_kept_in_their_order() -> None:
    found = read(b'{"a":1,"b":{"c":2,"c":3},"a":[{"d":4}]}')
    assert found == [("a", 1), ("b", [("c", 2), ("c", 3)]), ("a", [[("d", 4)]])]
    assert isinstance(found, Pairs)
    assert isinstance(found[1][1], Pairs)


def test_a_list_is_no_object() -> None:
    assert not isinstance(read(b"[1]"), Pairs)


def test_what_is_no_json_raises() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        read(b'{"a":')
