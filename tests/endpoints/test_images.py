"""The image endpoints on real sockets: forms and JSON, partial images as events, and bills by the image."""

import base64
import json
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from proxy.config.tree import Price
from tests.endpoints.forms import END, ask, ask_json, error_of, field, file, form, only_row, plain, serving
from tests.fakes import Close, Send, WaitFor, chunk, head, json_answer, sse_answer
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
VARIATIONS = "/v1/images/variations"
IMAGE = Price(image=Decimal("0.04"))
TOKENS = Price(input=Decimal("5.00"), output=Decimal("40.00"))
USAGE = {
    "total_tokens": 1100,
    "input_tokens": 100,
    "output_tokens": 1000,
    "input_tokens_details": {"text_tokens": 40, "image_tokens": 60},
}
#: Larger than an answer that is read at once, and than an event of a text stream.
PICTURE = base64.b64encode(bytes(range(256)) * 6000).decode()


def picture_event(name: str, **fields: object) -> bytes:
    value = json.dumps({"type": name, "b64_json": PICTURE, **fields}, separators=(",", ":"))
    return f"event: {name}\ndata: {value}\n\n".encode()


def test_images_are_counted_and_billed_each(tmp_path: Path) -> None:
    with serving(tmp_path, capability="image", price=IMAGE) as (gateway, (upstream,)):
        answer = b'{"created": 1, "data": [{"url": "https://a/1"}, {"url": "https://a/2"}]}'
        upstream.script(json_answer(answer))
        _, body = ask_json(gateway, GENERATIONS, prompt="a cat", n=2)
        assert body.payload == answer
        row = only_row(gateway)
        assert (row.images, row.cost, row.usage_source) == (2, 80_000_000, "reported")
        assert json.loads(upstream.requests[0].body)["model"] == UPSTREAM_MODEL


def test_large_images_are_counted_while_they_pass(tmp_path: Path) -> None:
    answer = json.dumps({"created": 1, "data": [{"b64_json": PICTURE}, {"b64_json": PICTURE}], "usage": USAGE}).encode()
    with serving(tmp_path, capability="image", price=IMAGE) as (gateway, (upstream,)):
        upstream.script(json_answer(answer))
        _, body = ask_json(gateway, GENERATIONS, prompt="a cat", n=2)
        assert body.payload == answer
        row = only_row(gateway)
        assert (row.images, row.input_tokens, row.output_tokens) == (2, 100, 1000)
        assert (row.cost, row.usage_source) == (80_000_000, "reported")


def test_tokens_are_billed_where_the_alias_is_priced_by_the_token(tmp_path: Path) -> None:
    with serving(tmp_path, capability="image", price=TOKENS) as (gateway, (upstream,)):
        upstream.script(json_answer({"data": [{"b64_json": "AA"}], "usage": USAGE}))
        ask_json(gateway, GENERATIONS, prompt="a cat")
        row = only_row(gateway)
        assert (row.images, row.cost) == (1, 100 * 5000 + 1000 * 40_000)


def test_an_answer_that_says_nothing_is_unpriced_and_never_free(tmp_path: Path) -> None:
    with serving(tmp_path, capability="image", price=IMAGE) as (gateway, (upstream,)):
        upstream.script(json_answer({"status": "queued"}))
        ask_json(gateway, GENERATIONS, prompt="a cat")
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("complete", "none", None)


@pytest.mark.parametrize("kind", ["image_generation", "image_edit"])
def test_partial_images_pass_as_they_come_and_each_whole_one_is_billed(tmp_path: Path, kind: str) -> None:
    seen = threading.Event()
    partial = picture_event(f"{kind}.partial_image", partial_image_index=0)
    whole = picture_event(f"{kind}.completed", usage=USAGE)
    headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    path = GENERATIONS if kind == "image_generation" else EDITS
    with serving(tmp_path, capability="image", price=IMAGE) as (gateway, (upstream,)), gateway.client() as client:
        upstream.script(
            [head(200, headers), chunk(partial), WaitFor(seen), chunk(whole), chunk(whole), Send(b"0\r\n\r\n")]
        )
        body = json.dumps({"model": ALIAS, "prompt": "a cat", "stream": True, "images": []}).encode()
        client.request("POST", path, body, {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
        client.read_head()
        got = b""
        while len(got) < len(partial):
            got += client.read_chunk() or b""
        assert got == partial
        seen.set()
        rest = client.read_chunked()
        assert (rest.payload, rest.complete) == (whole * 2, True)
        row = only_row(gateway)
        assert (row.images, row.input_tokens, row.cost, row.stream) == (2, 100, 80_000_000, True)


def test_a_stream_that_is_cut_between_two_images_does_not_end_cleanly(tmp_path: Path) -> None:
    partial = picture_event("image_generation.partial_image", partial_image_index=0)
    with serving(tmp_path, capability="image", price=IMAGE) as (gateway, (upstream,)):
        upstream.script([*sse_answer(partial)[:-1], Close()])
        _, body = ask_json(gateway, GENERATIONS, prompt="a cat", stream=True)
        assert body.payload.startswith(partial)
        assert not body.complete
        row = only_row(gateway)
        assert (row.outcome, row.images, row.cost) == ("upstream_cut", 0, None)


@pytest.mark.parametrize("path", [EDITS, VARIATIONS])
def test_a_form_with_images_arrives_with_its_model_replaced_and_nothing_else(tmp_path: Path, path: str) -> None:
    body = file(bytes(range(256)), "image[]") + file(b"\x89PNG", "image[]") + field("model", ALIAS) + END
    with serving(tmp_path, capability="image", price=IMAGE) as (gateway, (upstream,)):
        upstream.script(json_answer({"data": [{"b64_json": "AA"}]}))
        answer, _ = ask(gateway, body, path)
        assert answer.status == 200
        assert upstream.requests[0].body == body.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())
        assert only_row(gateway).cost == 40_000_000


def test_edits_are_taken_as_json_too(tmp_path: Path) -> None:
    with serving(tmp_path, capability="image", price=IMAGE) as (gateway, (upstream,)):
        upstream.script(json_answer({"data": [{"b64_json": "AA"}]}))
        answer, _ = ask_json(gateway, EDITS, prompt="a hat", images=[{"image_url": "https://a/1"}])
        assert answer.status == 200
        sent = json.loads(upstream.requests[0].body)
        assert sent == {"model": UPSTREAM_MODEL, "prompt": "a hat", "images": [{"image_url": "https://a/1"}]}


def test_edits_name_both_content_types_that_they_take(tmp_path: Path) -> None:
    with serving(tmp_path, capability="image", price=IMAGE) as (gateway, _):
        answer, body = ask(gateway, form(), EDITS, **{"content-type": "image/png"})
        assert answer.status == 400
        assert "multipart/form-data or application/json" in error_of(body)["message"]


def test_variations_take_no_json(tmp_path: Path) -> None:
    with serving(tmp_path, capability="image", price=IMAGE) as (gateway, _):
        answer, body = ask_json(gateway, VARIATIONS)
        assert answer.status == 400
        assert "must be multipart/form-data." in error_of(body)["message"]


def test_a_web_page_is_never_an_image(tmp_path: Path) -> None:
    with serving(tmp_path, capability="image", price=IMAGE) as (gateway, (upstream,)):
        upstream.script(plain(b"<html>", "text/html"))
        answer, _ = ask_json(gateway, GENERATIONS, prompt="a cat")
        assert answer.status == 502
