"""What stands in an example is quoted for its language: no alias can end a text and go on as a command."""

import ast
import json
import shlex
import subprocess

import pytest

from proxy.pages.documentation.examples import examples
from tests.pages.documentation.serving import facts, model

NAMES = ["it's", "a$(touch${IFS}pwned)", "`id`", "$IMAGE$HOME", "<script>", "a;b&c|d", "${x}"]


@pytest.mark.parametrize("name", NAMES)
def test_a_call_by_curl_sends_the_name_as_it_is(name: str) -> None:
    for capability in ("chat", "vision", "embeddings", "audio"):
        found = list(examples(facts({name: model(capability)}, kinds=("openai",))))
        text = found[1].codes[0].text if capability != "vision" else found[4].codes[0].text
        shown = 'curl() { printf "%s\\n" "$@"; [ "$3" = x ] || cat; }\n' + text
        done = subprocess.run(
            ["bash", "-c", shown], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        assert json.dumps(name) in done.stdout or f"model={name}" in done.stdout, done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_program_in_python_has_the_name_as_a_text(name: str) -> None:
    for sample in examples(facts({name: model()}, kinds=("openai",))):
        texts = [node.value for node in ast.walk(ast.parse(sample.codes[1].text)) if isinstance(node, ast.Constant)]
        assert sample.id == "example-models" or name in texts


def test_the_base_url_is_quoted_for_the_shell() -> None:
    for sample in examples(facts({"a": model()}, kinds=("openai",))):
        assert any(word.startswith("https://api.getprometheus.org/") for word in shlex.split(sample.codes[0].text))
