"""Images of the demo provider, over a real socket."""

import base64
import struct
import zlib

import openai
import pytest

from proxy.demo.media import image
from tests.demo.conftest import Provider, named_events

PNG = image("anything", 0)


def test_a_picture_is_a_whole_png() -> None:
    assert PNG.startswith(b"\x89PNG\r\n\x1a\n")
    place, names, pixels = 8, [], b""
    while place < len(PNG):
        (length,) = struct.unpack_from(">I", PNG, place)
        name, data = PNG[place + 4 : place + 8], PNG[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", PNG, place + 8 + length) == (zlib.crc32(name + data),)
        names.append(name)
        pixels = zlib.decompress(data) if name == b"IDAT" else pixels
        place += 12 + length
    assert names == [b"IHDR", b"IDAT", b"IEND"]
    assert len(pixels) == 64 * (1 + 64 * 3)


def test_colours_follow_from_the_prompt() -> None:
    assert image("a", 0) == image("a", 0) != image("b", 0)


def test_as_many_pictures_come_as_are_wanted(sdk: openai.OpenAI) -> None:
    answer = sdk.images.generate(model="demo-canvas", prompt="a fox", n=2)
    assert answer.data is not None
    assert [base64.b64decode(one.b64_json or "") for one in answer.data] == [image("a fox", 0), image("a fox", 1)]
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_an_address_holds_the_picture_itself(provider: Provider) -> None:
    answer = provider.post("/images/generations", model="demo-canvas", prompt="a fox", response_format="url").json()
    assert answer["data"][0]["url"].startswith("data:image/png;base64,")


def test_a_picture_is_edited_by_form(sdk: openai.OpenAI) -> None:
    answer = sdk.images.edit(model="demo-canvas", image=[("a.png", PNG), ("b.png", PNG)], prompt="more red")
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.image_tokens == 130


def test_a_picture_is_edited_by_json(provider: Provider) -> None:
    images = [{"image_url": "data:image/png;base64,AA"}]
    assert len(provider.post("/images/edits", model="demo-canvas", prompt="x", images=images).json()["data"]) == 1


def test_a_variation_needs_no_prompt(provider: Provider) -> None:
    fields = {"model": "demo-canvas", "n": "2"}
    answer = provider.http.post("/images/variations", data=fields, files={"image": ("a.png", PNG)})
    assert len(answer.json()["data"]) == 2


@pytest.mark.parametrize(("path", "name"), [("generations", "image_generation"), ("edits", "image_edit")])
def test_a_stream_has_sketches_and_the_image(provider: Provider, path: str, name: str) -> None:
    asked = {"model": "demo-canvas", "prompt": "a fox", "stream": True, "partial_images": 2, "images": ["x"]}
    found = named_events(provider.post(f"/images/{path}", **asked).text)
    assert [one for one, _ in found] == [f"{name}.partial_image"] * 2 + [f"{name}.completed"]
    assert base64.b64decode(found[-1][1]["b64_json"]) == image("a fox", 0)
    assert found[-1][1]["usage"]["output_tokens"] > 0


def test_a_form_may_ask_for_a_stream(provider: Provider) -> None:
    fields = {"model": "demo-canvas", "prompt": "a fox", "stream": "true"}
    answer = provider.http.post("/images/edits", data=fields, files={"image": ("a.png", PNG)})
    assert [name for name, _ in named_events(answer.text)] == ["image_edit.completed"]


@pytest.mark.parametrize("body", [{}, {"prompt": "x", "n": 5}, {"prompt": "x", "partial_images": 4}])
def test_wrong_wishes_are_a_400(provider: Provider, body: dict[str, object]) -> None:
    assert provider.post("/images/generations", **{"model": "demo-canvas", **body}).status_code == 400


def test_an_edit_without_a_picture_is_a_400(provider: Provider) -> None:
    assert provider.post("/images/edits", model="demo-canvas", prompt="x").status_code == 400


def test_phrases_stand_in_the_prompt(provider: Provider) -> None:
    asked = {"model": "demo-canvas", "prompt": "demo:no-usage"}
    assert "usage" not in provider.post("/images/generations", **asked).json()
    assert provider.post("/images/generations", model="demo-canvas", prompt="demo:error=500").status_code == 500
