"""Files of the demo provider, over a real socket."""

import openai
import pytest

from tests.demo.conftest import Provider


def test_a_file_is_kept_as_it_came_and_deleted(sdk: openai.OpenAI) -> None:
    content = bytes(range(256)) + b"\r\n--\r\n"
    file = sdk.files.create(file=("a.bin", content), purpose="user_data")
    assert (file.bytes, file.filename, file.purpose) == (len(content), "a.bin", "user_data")
    assert sdk.files.content(file.id).content == content
    assert sdk.files.retrieve(file.id).id == file.id
    assert sdk.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.content(file.id)


def test_a_file_needs_a_purpose(provider: Provider) -> None:
    assert provider.http.post("/files", files={"file": ("a", b"x")}).status_code == 400
