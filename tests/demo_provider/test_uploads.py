"""Uploads in parts to the demo provider, over a real socket."""

import openai
import pytest


def begin(sdk: openai.OpenAI, size: int) -> str:
    return sdk.uploads.create(filename="a.bin", purpose="batch", bytes=size, mime_type="text/plain").id


def test_parts_become_a_file_in_the_order_that_is_asked_for(sdk: openai.OpenAI) -> None:
    upload = begin(sdk, 6)
    first, second = (sdk.uploads.parts.create(upload, data=("p", data)).id for data in (b"def", b"abc"))
    done = sdk.uploads.complete(upload, part_ids=[second, first])
    assert done.status == "completed"
    assert done.file is not None
    assert sdk.files.content(done.file.id).content == b"abcdef"


def test_parts_of_another_size_are_refused(sdk: openai.OpenAI) -> None:
    upload = begin(sdk, 6)
    part = sdk.uploads.parts.create(upload, data=("p", b"abc")).id
    with pytest.raises(openai.BadRequestError, match="3 bytes, 6 were announced"):
        sdk.uploads.complete(upload, part_ids=[part])


def test_a_part_that_is_not_there_is_a_404(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        sdk.uploads.complete(begin(sdk, 6), part_ids=["part_none"])


def test_an_upload_is_cancelled(sdk: openai.OpenAI) -> None:
    assert sdk.uploads.cancel(begin(sdk, 6)).status == "cancelled"
