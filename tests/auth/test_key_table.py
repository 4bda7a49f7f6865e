"""The table of keys: each key is replaced and removed as a whole."""

import msgspec

from proxy.auth.accounts import Account
from proxy.auth.key_table import KeyTable
from proxy.auth.keys import Key
from proxy.config.tree import Limits


def key(id_: str, expires: int | None = None) -> Key:
    return Key(id_, id_, None, 0, expires)


def test_a_key_is_replaced_with_all_its_secrets() -> None:
    table = KeyTable()
    table.put(key("a"), [(b"1", None), (b"2", None)])
    table.put(key("a"), [(b"2", None), (b"3", None)])
    assert set(table.by_digest) == {b"2", b"3"}


def test_a_secret_expires_with_its_key_or_before() -> None:
    table = KeyTable()
    table.put(key("a", expires=10), [(b"1", None), (b"2", 5), (b"3", 20)])
    assert {digest: found.expires for digest, found in table.by_digest.items()} == {b"1": 10, b"2": 5, b"3": 10}


def test_a_secret_that_is_another_keys_by_now_stays_when_the_first_is_removed() -> None:
    table = KeyTable()
    table.put(key("a"), [(b"1", None)])
    table.put(key("b"), [(b"1", None)])
    table.remove("a")
    assert table.by_digest[b"1"].id == "b"


def test_only_local_keys_are_left_when_it_is_cleared() -> None:
    table = KeyTable()
    table.put_local(key("local"), b"0")
    table.put(key("a"), [(b"1", None)])
    table.put(key("b"), [(b"2", None)])
    table.retain({"a"})
    assert set(table.by_digest) == {b"0", b"1"}
    table.clear()
    assert set(table.by_digest) == {b"0"}


def test_a_fingerprint_is_that_of_the_last_put() -> None:
    table = KeyTable()
    table.put(key("a"), [(b"1", None)], 7)
    assert table.is_unchanged("a", 7)
    assert not table.is_unchanged("a", 8)
    table.remove("a")
    assert not table.is_unchanged("a", 7)


def test_it_knows_whether_a_key_has_an_account_that_limits_something() -> None:
    table = KeyTable()
    plain, limited = Account("team", "t", "t"), Account("org", "o", "o", Limits(concurrent=1))
    table.put(msgspec.structs.replace(key("a"), accounts=(plain,)), [(b"1", None)])
    found = [table.has_accounts]
    table.put(msgspec.structs.replace(key("a"), accounts=(plain, limited)), [(b"1", None)])
    table.put(msgspec.structs.replace(key("without secret"), accounts=(limited,)), [])
    found.append(table.has_accounts)
    table.remove("a")
    assert [*found, table.has_accounts] == [False, True, False]


def test_a_key_is_found_by_its_id_with_the_secret_that_is_valid_for_longest() -> None:
    table = KeyTable()
    table.put(key("key_1"), [(b"old", 50), (b"new", None)])
    found = table.by_id("key_1")
    assert found is not None
    assert (found.id, found.expires) == ("key_1", None)
    table.remove("key_1")
    assert table.by_id("key_1") is None
