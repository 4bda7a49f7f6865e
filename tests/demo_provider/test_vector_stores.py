"""Vector stores of the demo provider, over a real socket."""

import openai
import pytest


def file(sdk: openai.OpenAI, name: str, text: str) -> str:
    return sdk.files.create(file=(name, text.encode()), purpose="assistants").id


def test_a_search_finds_the_file_that_shares_words(sdk: openai.OpenAI) -> None:
    fox, dog = file(sdk, "fox.txt", "The red fox sleeps."), file(sdk, "dog.txt", "The old dog ran far.")
    store = sdk.vector_stores.create(name="animals", file_ids=[fox, dog])
    first = sdk.vector_stores.search(store.id, query="Where is the fox?").data[0]
    assert (first.file_id, first.filename, first.content[0].text) == (fox, "fox.txt", "The red fox sleeps.")


def test_files_are_added_counted_and_taken_out(sdk: openai.OpenAI) -> None:
    store = sdk.vector_stores.create()
    one, two = file(sdk, "1.txt", "a"), file(sdk, "2.txt", "bc")
    sdk.vector_stores.files.create(file_id=one, vector_store_id=store.id)
    batch = sdk.vector_stores.file_batches.create(store.id, file_ids=[two])
    assert batch.file_counts.completed == 1
    found = sdk.vector_stores.retrieve(store.id)
    assert (found.file_counts.total, found.usage_bytes) == (2, 3)
    assert {held.id for held in sdk.vector_stores.files.list(store.id)} == {one, two}
    sdk.vector_stores.files.delete(one, vector_store_id=store.id)
    assert sdk.vector_stores.retrieve(store.id).file_counts.total == 1
    assert sdk.files.retrieve(one).id == one


def test_a_store_is_renamed_listed_and_deleted(sdk: openai.OpenAI) -> None:
    store = sdk.vector_stores.create(name="a")
    assert sdk.vector_stores.update(store.id, name="b", metadata={"k": "v"}).name == "b"
    assert store.id in [one.id for one in sdk.vector_stores.list()]
    assert sdk.vector_stores.delete(store.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.retrieve(store.id)


def test_a_file_that_is_not_there_is_a_404(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.create(file_ids=["file-none"])


def test_one_file_may_be_in_two_stores(sdk: openai.OpenAI) -> None:
    shared = file(sdk, "a.txt", "The red fox.")
    first, second = (sdk.vector_stores.create(file_ids=[shared]) for _ in range(2))
    sdk.vector_stores.files.delete(shared, vector_store_id=second.id)
    assert sdk.vector_stores.search(first.id, query="fox").data[0].file_id == shared
    assert sdk.vector_stores.search(second.id, query="fox").data == []


def test_a_store_is_searched_on_when_one_of_its_files_is_gone(sdk: openai.OpenAI) -> None:
    gone, left = file(sdk, "a.txt", "The red fox."), file(sdk, "b.txt", "A fox.")
    store = sdk.vector_stores.create(file_ids=[gone, left])
    sdk.files.delete(gone)
    assert [found.file_id for found in sdk.vector_stores.search(store.id, query="fox").data] == [left]


def test_a_file_of_a_store_has_attributes_and_text(sdk: openai.OpenAI) -> None:
    held = file(sdk, "a.txt", "The red fox.")
    store = sdk.vector_stores.create(file_ids=[held])
    changed = sdk.vector_stores.files.update(held, vector_store_id=store.id, attributes={"k": "v"})
    assert changed.attributes == {"k": "v"}
    assert [part.text for part in sdk.vector_stores.files.content(held, vector_store_id=store.id)] == ["The red fox."]


def test_a_batch_lists_the_files_that_it_added(sdk: openai.OpenAI) -> None:
    first, second = file(sdk, "a.txt", "a"), file(sdk, "b.txt", "b")
    store = sdk.vector_stores.create(file_ids=[first])
    batch = sdk.vector_stores.file_batches.create(store.id, file_ids=[second])
    listed = sdk.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id)
    assert [one.id for one in listed] == [second]
    assert sdk.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id).status == "cancelled"
