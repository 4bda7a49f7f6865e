"""The docs page in Chromium: what readers see, and the form to try a model, word by word."""

import re
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page, expect

from proxy.config.tree import Price
from proxy.demo.media import image, wav_header
from tests.fakes import Hang, ScriptedUpstream, Step, WaitFor, chunk, head, json_answer
from tests.pages.browser import Browser, overflow, serious_faults
from tests.pages.documentation.serving import model
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway, simple_config

HOSTILE = "<img/src=x/onerror=alert(1)>"


def fill(page: Page, alias: str, text: str | None = None) -> None:
    """Fill the form to try a model."""
    page.locator("#try-key").fill(KEY)
    page.locator("#try-model").select_option(alias)
    if text is not None:
        page.locator("#try-input").fill(text)


def figures(page: Page) -> dict[str, str]:
    """The figures below a response, by their names."""
    expect(page.locator("#try-figures")).to_be_visible()
    boxes = page.locator("#try-figures div").all()
    return {box.locator("dt").inner_text(): box.locator("dd").inner_text() for box in boxes}


# the page


@pytest.mark.parametrize("path", ["/", "/errors"])
@pytest.mark.parametrize("dark", [False, True])
def test_no_serious_fault_of_accessibility(browser: Browser, gateway: RunningGateway, path: str, dark: bool) -> None:
    assert serious_faults(browser.open(gateway, path, dark=dark)) == []


@pytest.mark.parametrize("path", ["/", "/errors"])
def test_a_phone_scrolls_in_one_direction(browser: Browser, gateway: RunningGateway, path: str) -> None:
    page = browser.open(gateway, path, phone=True)
    assert overflow(page) == 0
    assert serious_faults(page) == []


def test_one_language_is_chosen_for_all_examples(browser: Browser, gateway: RunningGateway) -> None:
    page = browser.open(gateway, "/#examples")
    expect(page.locator(".in-bash").first).to_be_visible()
    expect(page.locator(".in-python").first).to_be_hidden()
    page.get_by_label("Python", exact=True).check()
    expect(page.locator(".in-python").first).to_be_visible()
    expect(page.locator(".in-bash").first).to_be_hidden()
    page.get_by_label("All", exact=True).check()
    expect(page.locator(".in-javascript").last).to_be_visible()


def test_code_is_copied_as_it_is(browser: Browser, gateway: RunningGateway) -> None:
    page = browser.open(gateway, permissions=["clipboard-read", "clipboard-write"])
    figure = page.locator("#agent-spec figure.code")
    figure.get_by_role("button", name="Copy").click()
    expect(figure.get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == figure.locator("code").text_content()


def test_without_scripts_it_is_a_document(browser: Browser, gateway: RunningGateway) -> None:
    page = browser.open(gateway, javascript=False)
    expect(page.locator("#try-form")).to_be_hidden()
    expect(page.get_by_text("The form needs JavaScript.")).to_be_visible()
    page.get_by_label("JavaScript", exact=True).check()
    expect(page.locator(".in-javascript").first).to_be_visible()
    expect(page.locator(".copy")).to_have_count(0)


def test_print_has_all_examples(browser: Browser, gateway: RunningGateway) -> None:
    page = browser.open(gateway)
    page.emulate_media(media="print")
    expect(page.locator(".in-python").first).to_be_visible()
    expect(page.locator("#try-form")).to_be_hidden()


# try it


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as one:
        yield one


@pytest.fixture(scope="module")
def scripted(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    config = simple_config(tmp_path_factory.mktemp("scripted"), upstream.base_url)
    targets = [f"vendor1/{UPSTREAM_MODEL}"]
    hostile = msgspec.structs.replace(
        model("chat", price=Price(input=Decimal("1")), title=HOSTILE, use=HOSTILE, summary=HOSTILE), targets=targets
    )
    with RunningGateway(msgspec.structs.replace(config, models={**config.models, HOSTILE: hostile})) as running:
        yield running


def event(**delta: str) -> Step:
    """A chunk of a chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    data = {"id": "c", "object": "chat.completion.chunk", "model": UPSTREAM_MODEL, "choices": [choice]}
    return chunk(b"data: " + msgspec.json.encode(data) + b"\n\n")


def ending() -> list[Step]:
    """The finish reason, the usage and the end of a chat stream."""
    usages = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    stop = {"index": 0, "delta": {}, "finish_reason": "stop"}
    base = {"id": "c", "object": "chat.completion.chunk", "model": UPSTREAM_MODEL}
    return [
        chunk(b"data: " + msgspec.json.encode({**base, "choices": [stop]}) + b"\n\n"),
        chunk(b"data: " + msgspec.json.encode({**base, "choices": [], "usage": usages}) + b"\n\n"),
        chunk(b"data: [DONE]\n\n"),
        chunk(b""),
    ]


def test_a_streamed_response_arrives_word_by_word(
    browser: Browser, scripted: RunningGateway, upstream: ScriptedUpstream
) -> None:
    gates = [threading.Event(), threading.Event()]
    upstream.script(
        [
            head(200, {"content-type": "text/event-stream"}),
            event(role="assistant", content="One "),
            WaitFor(gates[0]),
            event(content="<b>two</b> "),
            WaitFor(gates[1]),
            event(content="three"),
            *ending(),
        ]
    )
    page = browser.open(scripted)
    fill(page, ALIAS, "Count.")
    page.get_by_role("button", name="Send").click()
    output = page.locator("#try-output")
    expect(output).to_have_text("One ")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    gates[0].set()
    expect(output).to_have_text("One <b>two</b> ")
    gates[1].set()
    expect(output).to_have_text("One <b>two</b> three")
    found = figures(page)
    assert re.fullmatch(r"\d+ ms|[\d.]+ s", found["Time to first token"])
    assert re.fullmatch(r"[\d.]+", found["Tokens per second"])
    # 9 tokens at 1.10 and 3 at 4.40 USD for a million.
    assert (found["Input tokens"], found["Output tokens"], found["Cost"]) == ("9", "3", "$0.0000231")
    assert found["Request"].startswith("req_")


def test_stop_ends_a_stream_at_the_provider(
    browser: Browser, scripted: RunningGateway, upstream: ScriptedUpstream
) -> None:
    upstream.script([head(200, {"content-type": "text/event-stream"}), event(content="One "), Hang()])
    page = browser.open(scripted)
    fill(page, ALIAS, "Count.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-output")).to_have_text("One ")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#try-status")).to_have_text("Stopped. What was sent until then is charged.")
    upstream.wait_for_open_connections(0, 20)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_an_error_inside_a_stream_is_said(
    browser: Browser, scripted: RunningGateway, upstream: ScriptedUpstream
) -> None:
    gate = threading.Event()
    failure = msgspec.json.encode({"error": {"message": HOSTILE, "type": "server_error", "code": "boom"}})
    upstream.script(
        [
            head(200, {"content-type": "text/event-stream"}),
            event(content="One "),
            WaitFor(gate),
            chunk(b"data: " + failure + b"\n\n"),
            chunk(b""),
        ]
    )
    page = browser.open(scripted)
    browser.expect("Failed to load resource|ERR_INCOMPLETE_CHUNKED_ENCODING")
    fill(page, ALIAS, "Count.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-output")).to_have_text("One ")
    gate.set()
    expect(page.locator("#try-error")).to_contain_text(HOSTILE)
    expect(page.locator("#try-output")).to_have_text("One ")
    expect(page.locator("#try-status")).to_have_text("Failed.")


def test_an_error_of_the_provider_is_text_and_says_what_to_do(
    browser: Browser, scripted: RunningGateway, upstream: ScriptedUpstream
) -> None:
    error = {"error": {"message": HOSTILE, "type": "invalid_request_error", "param": None, "code": "<b>"}}
    upstream.script(json_answer(error, 400))
    page = browser.open(scripted)
    browser.expect("400 ")
    fill(page, HOSTILE, "Hi.")
    page.get_by_role("button", name="Send").click()
    box = page.locator("#try-error")
    expect(box).to_contain_text(HOSTILE)
    expect(box).to_contain_text("Change the request as the message says.")
    expect(box.locator("img, b")).to_have_count(0)
    expect(box.get_by_role("link", name="All codes")).to_have_attribute("href", "/errors#codes")


def test_texts_of_the_configuration_are_no_markup(browser: Browser, scripted: RunningGateway) -> None:
    page = browser.open(scripted)
    row = page.locator("#models tr", has_text=HOSTILE)
    assert row.locator("td").all_inner_texts() == ["/v1/chat/completions", HOSTILE, HOSTILE]
    expect(page.locator("article img")).to_have_count(0)
    expect(page.locator("#agent-spec code")).to_contain_text(f"{HOSTILE}: chat; {HOSTILE}; $1.00/1M in")


def test_a_wrong_key_and_a_missing_one_are_said_in_words(browser: Browser, gateway: RunningGateway) -> None:
    page = browser.open(gateway)
    browser.expect("401 ")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-error")).to_contain_text("Type an API key")
    page.locator("#try-key").fill("prom_sk_wrong")
    page.locator("#try-key").blur()
    expect(page.locator("#try-error")).to_contain_text("Check the key: it must begin as the field shows")


def test_a_key_s_own_models_and_limits_are_there_once_it_is_typed(browser: Browser, gateway: RunningGateway) -> None:
    secret = "prom_sk_narrow_key_that_is_long_enough_for_everybody"
    gateway.add_key("narrow", secret, ["prometheus-lite"])
    page = browser.open(gateway)
    page.locator("#try-key").fill(secret)
    page.locator("#try-key").blur()
    expect(page.locator("#try-allowed")).to_contain_text("narrow; may use the models above and no others")
    assert page.locator("#try-model option:not([disabled])").all_inner_texts() == ["prometheus-lite · Balanced chat"]
    expect(page.locator("#try-model")).to_have_value("prometheus-lite")


def test_the_key_is_nowhere_but_in_its_field(browser: Browser, gateway: RunningGateway) -> None:
    page = browser.open(gateway)
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    fill(page, "prometheus-lite", "demo:tokens=3")
    page.get_by_role("button", name="Send").click()
    figures(page)
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    assert KEY not in stored
    assert KEY not in "".join(urls)
    assert KEY not in page.content()
    page.goto("/errors")
    page.go_back()
    expect(page.locator("#try-key")).to_have_value("")


# each kind of model, at the demo's provider


def test_a_whole_response_has_its_cost(browser: Browser, gateway: RunningGateway) -> None:
    page = browser.open(gateway)
    fill(page, "prometheus-core", "demo:tokens=10")
    page.get_by_label("Stream", exact=True).uncheck()
    page.get_by_role("button", name="Send").click()
    found = figures(page)
    assert (found["Output tokens"], "Time to first token" in found) == ("10", False)
    assert Decimal(found["Cost"].removeprefix("$")) > 0


def test_an_image_from_disk_is_seen(browser: Browser, gateway: RunningGateway, tmp_path: Path) -> None:
    (tmp_path / "form.png").write_bytes(image("form", 0))
    page = browser.open(gateway)
    fill(page, "prometheus-vision", "What is it?")
    page.locator("#try-image").set_input_files(tmp_path / "form.png")
    page.get_by_role("button", name="Send").click()
    figures(page)
    expect(page.locator("#try-output")).to_contain_text("You sent 1 images (image/png)")


def test_images_are_shown(browser: Browser, gateway: RunningGateway, tmp_path: Path) -> None:
    page = browser.open(gateway)
    fill(page, "prometheus-canvas", "A lighthouse")
    page.get_by_role("button", name="Send").click()
    assert figures(page)["Cost"] == "$0.02"
    picture = page.locator("#try-output img")
    expect(picture).to_have_attribute("alt", "A lighthouse")
    assert picture.evaluate("async image => (await image.decode(), image.naturalWidth)") > 0
    (tmp_path / "form.png").write_bytes(image("form", 0))
    page.locator("#try-image").set_input_files(tmp_path / "form.png")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-status")).to_have_text("Done.")
    expect(page.locator("#try-output img")).to_have_count(1)


def test_a_recording_is_written_down_and_a_text_is_spoken(
    browser: Browser, gateway: RunningGateway, tmp_path: Path
) -> None:
    (tmp_path / "note.wav").write_bytes(wav_header(32_000) + bytes(32_000))
    page = browser.open(gateway)
    fill(page, "prometheus-echo")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-error")).to_contain_text("Choose an audio file first.")
    page.locator("#try-audio").set_input_files(tmp_path / "note.wav")
    page.get_by_role("button", name="Send").click()
    figures(page)
    expect(page.locator("#try-output")).to_contain_text(re.compile(r"\w+ \w+"))
    fill(page, "prometheus-voice", "Done.")
    page.get_by_role("button", name="Send").click()
    figures(page)
    sound = page.locator("#try-output audio")
    assert (
        sound.evaluate(
            "audio => new Promise(done => { audio.load(); audio.onloadeddata = () => done(audio.duration) })"
        )
        > 0
    )


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        ("prometheus-atlas", r"2 vectors of 1536 numbers[\s\S]*Similarity of 1 and 2: -?\d\.\d{4}"),
        ("prometheus-rank", r"^\d\.\d{4}  Streams end with \[DONE\]\."),
        ("prometheus-guard", r"^Nothing was found\.$"),
        ("prometheus-quest", r"https?://"),
    ],
)
def test_further_kinds_are_summed_up(browser: Browser, gateway: RunningGateway, alias: str, text: str) -> None:
    page = browser.open(gateway)
    fill(page, alias)
    page.get_by_role("button", name="Send").click()
    figures(page)
    assert re.search(text, page.locator("#try-output").inner_text()), page.locator("#try-output").inner_text()
