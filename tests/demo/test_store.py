"""What the demo provider keeps: found, listed, changed and forgotten, within bounds."""

import pytest

from proxy.demo.store import DemoStore
from proxy.errors import InvalidRequest


def ids(store: DemoStore, kind: str = "file", parent: str = "") -> list[str]:
    return [thing.id for thing in store.all(kind, parent)]


def test_what_was_kept_is_found() -> None:
    store = DemoStore()
    store.put("file", {"id": "a"}, b"content")
    assert store.get("file", "a").content == b"content"


def test_a_thing_of_another_kind_is_not_found() -> None:
    store = DemoStore()
    store.put("file", {"id": "a"})
    with pytest.raises(InvalidRequest) as caught:
        store.get("batch", "a")
    assert caught.value.status == 404


def test_a_thing_is_found_only_where_it_belongs() -> None:
    store = DemoStore()
    store.put("message", {"id": "a"}, parent="thread")
    assert store.get("message", "a", "thread").id == "a"
    with pytest.raises(InvalidRequest):
        store.get("message", "a", "other")


def test_one_id_may_stand_below_two_parents() -> None:
    store = DemoStore()
    store.put("file", {"id": "a", "n": 1}, parent="x")
    store.put("file", {"id": "a", "n": 2}, parent="y")
    assert (store.get("file", "a", "x").value["n"], store.get("file", "a", "y").value["n"]) == (1, 2)


def test_a_thing_that_is_changed_often_takes_its_room_once() -> None:
    store = DemoStore(max_bytes=100)
    store.put("file", {"id": "a"})
    thing = store.put("file", {"id": "b"}, bytes(40))
    for number in range(9):
        thing = store.update(thing, {"n": number})
    assert ids(store) == ["a", "b"]


def test_a_list_has_what_belongs_to_it_oldest_first() -> None:
    store = DemoStore()
    for name, parent in (("a", "t"), ("b", "other"), ("c", "t")):
        store.put("file", {"id": name}, parent=parent)
    assert ids(store, parent="t") == ["a", "c"]


def test_a_change_keeps_the_content_and_the_place() -> None:
    store = DemoStore()
    first = store.put("file", {"id": "a", "name": "x"}, b"content")
    store.put("file", {"id": "b"})
    changed = store.update(first, {"name": "y"})
    assert (changed.value, changed.content) == ({"id": "a", "name": "y"}, b"content")
    assert ids(store) == ["a", "b"]


def test_what_was_deleted_is_gone() -> None:
    store = DemoStore()
    store.put("file", {"id": "a"})
    store.delete("file", "a")
    with pytest.raises(InvalidRequest):
        store.delete("file", "a")


def test_past_the_greatest_number_the_oldest_is_forgotten() -> None:
    store = DemoStore(max_resources=2)
    for name in "abc":
        store.put("file", {"id": name})
    assert ids(store) == ["b", "c"]


def test_past_the_greatest_size_the_oldest_are_forgotten() -> None:
    store = DemoStore(max_bytes=100)
    for name in "abc":
        store.put("file", {"id": name}, bytes(40))
    assert ids(store) == ["b", "c"]


def test_a_deleted_thing_makes_room() -> None:
    store = DemoStore(max_bytes=100)
    store.put("file", {"id": "a"}, bytes(80))
    store.delete("file", "a")
    store.put("file", {"id": "b"}, bytes(40))
    store.put("file", {"id": "c"}, bytes(30))
    assert ids(store) == ["b", "c"]


def test_a_thing_that_grows_pushes_others_out_and_not_itself() -> None:
    store = DemoStore(max_bytes=100)
    first = store.put("file", {"id": "a"}, bytes(20))
    store.put("file", {"id": "b"}, bytes(40))
    store.update(first, {"name": "x" * 30})
    assert ids(store) == ["a"]


def test_what_is_larger_than_the_store_is_refused() -> None:
    store = DemoStore(max_bytes=100)
    store.put("file", {"id": "a"})
    with pytest.raises(InvalidRequest) as caught:
        store.put("file", {"id": "b"}, bytes(200))
    assert caught.value.status == 413
    assert ids(store) == ["a"]
