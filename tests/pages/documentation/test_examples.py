"""Each example of the page, taken from its HTML as a reader copies it, run, and its output looked at."""

import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Final

import pytest

from proxy.demo.media import image, wav_header
from proxy.pages.documentation.examples import examples
from tests.pages.documentation.serving import facts, model
from tests.pages.serving import reader
from tests.serving import KEY, RunningGateway

NODE: Final = shutil.which("node")
NODE_MODULES: Final = Path(__file__).parents[2] / "node" / "node_modules"
_SAMPLE: Final = re.compile(r'<div class="sample" id="example-(\w+)">(.*?)</div>', re.DOTALL)
_CODE: Final = re.compile(r'<code data-language="(\w+)">(.*?)</code></pre>', re.DOTALL)
#: What the output of each has; of curl it is JSON, or bytes.
TEXTS: Final = {
    "models": "prometheus-core",
    "chat": r"\w+ \w+ \w+",
    "streaming": r"\w+ \w+ \w+",
    "tools": r'get_weather.*"city"',
    "vision": "You sent 1 images .image/png.",
    "embeddings": r"2 vectors of \d+",
    "transcription": r"\w+ \w+",
    "speech": r"\d+ bytes",
    "images": r"\d+ bytes",
    "rerank": "relevance_score",
    "moderation": r"(?i)false",
    "search": "url",
    "ocr": r"\w+",
    "responses": r"\w+ \w+ \w+",
    "messages": r"\w+ \w+ \w+",
    "gemini": r"\w+ \w+ \w+",
}


#: The same for the JSON that curl prints, where that has other words.
IN_JSON: Final = {"embeddings": '"embedding"', "images": "b64_json", "tools": "get_weather"}
_PYTHON: Final = """
import contextlib, io, json, sys, traceback
found = {}
for name, text in json.load(sys.stdin).items():
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            exec(compile(text, name, "exec"), {})
        found[name] = output.getvalue()
    except BaseException:
        found[name] = "failed: " + traceback.format_exc()
json.dump(found, sys.stdout)
"""
_JAVASCRIPT: Final = """
const write = process.stdout.write.bind(process.stdout)
const found = {}
for (const name of process.argv.slice(2)) {
  found[name] = ""
  process.stdout.write = (text) => ((found[name] += text), true)
  try {
    await import(`./${name}.mjs`)
  } catch (error) {
    found[name] = `failed: ${error}`
  }
}
write(JSON.stringify(found))
"""


@pytest.fixture(scope="module")
def found(gateway: RunningGateway) -> dict[tuple[str, str], str]:
    """The examples by their ids and languages, as the page has them."""
    with reader(gateway) as client:
        page = client.get("/").text
    return {
        (name, language): unescape(text)
        for name, body in _SAMPLE.findall(page)
        for language, text in _CODE.findall(body)
    }


@pytest.fixture(scope="module")
def outputs(found: dict[tuple[str, str], str], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """What each has printed, in a folder with the files that it names. Those of an SDK share a process."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "screenshot.png").write_bytes(image("a form", 0))
    (folder / "meeting.mp3").write_bytes(wav_header(32_000) + bytes(32_000))
    texts = {language: {name: text for (name, one), text in found.items() if one == language} for _, language in found}

    def run(*command: str, given: str = "") -> str:
        environment = {"PATH": os.environ["PATH"], "PROMETHEUS_API_KEY": KEY, "NO_PROXY": "*"}
        done = subprocess.run(
            command, cwd=folder, env=environment, input=given, capture_output=True, text=True, timeout=240, check=False
        )
        return done.stdout if done.returncode == 0 and not done.stderr else f"failed: {done.stderr}"

    printed = {(name, "bash"): run("bash", "-euc", text) for name, text in texts["bash"].items()}
    printed["speech", "bash"] += f"{(folder / 'speech.mp3').stat().st_size} bytes"
    from_python = json.loads(run(sys.executable, "-c", _PYTHON, given=json.dumps(texts["python"])))
    printed |= {(name, "python"): text for name, text in from_python.items()}
    if NODE and (NODE_MODULES / "openai").is_dir():
        (folder / "node_modules").symlink_to(NODE_MODULES)
        (folder / "run.mjs").write_text(_JAVASCRIPT)
        for name, text in texts["javascript"].items():
            (folder / f"{name}.mjs").write_text(text)
        from_node = json.loads(run(NODE, "run.mjs", *texts["javascript"]))
        printed |= {(name, "javascript"): text for name, text in from_node.items()}
    return printed


def test_there_is_one_for_each_capability_in_three_languages(found: dict[tuple[str, str], str]) -> None:
    assert set(found) == {(name, language) for name in TEXTS for language in ("bash", "python", "javascript")}


@pytest.mark.parametrize("language", ["bash", "python", "javascript"])
@pytest.mark.parametrize("name", TEXTS)
def test_an_example_does_what_it_says(outputs: dict[tuple[str, str], str], name: str, language: str) -> None:
    if (name, language) not in outputs:
        pytest.skip("node, or its openai package, is not installed")
    output = outputs[name, language]
    assert not output.startswith("failed: "), output
    if language != "bash" or name == "speech":
        assert re.search(TEXTS[name], output), output
    elif name == "streaming":
        assert output.rstrip().endswith("data: [DONE]")
        assert output.count('"delta"') > 3
    else:
        assert not json.loads(output).get("error")
        assert re.search(IN_JSON.get(name, TEXTS[name]), output), output


def test_an_example_is_there_only_for_what_is_configured() -> None:
    found = [one.id for one in examples(facts({"a": model("embeddings")}, kinds=("openai",)))]
    assert found == ["example-models", "example-embeddings"]
