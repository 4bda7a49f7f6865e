"""The examples of docs/extending.md, taken from the page as they stand and run against a whole gateway."""

import gc
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from proxy.config import presets
from proxy.endpoints import router, table
from tests.exchange.samples import JSON_ANSWER, question
from tests.fakes import ScriptedUpstream, json_answer
from tests.serving import KEY, RunningGateway, simple_config

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"


def example(heading: str) -> ModuleType:
    """The first block of Python below a heading of the page, as a module."""
    text = PAGE.read_text("utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.search(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    module = ModuleType(heading.replace(" ", "_"))
    line = text[: text.index(found[1])].count("\n")
    exec(compile("\n" * line + found[1], str(PAGE), "exec"), module.__dict__)
    return module


def test_every_section_has_an_example() -> None:
    headings = re.findall(r"^## (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert headings
    for heading in headings:
        assert len(vars(example(heading))) > 0


def test_an_endpoint_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "ROWS", (*table.ROWS, example("An endpoint").ROW))
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway,
        gateway.client() as client,
    ):
        upstream.script(json_answer(JSON_ANSWER))
        body = json.dumps(question(stream=False)).encode()
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        client.request("POST", "/v1/chat/summaries", body, headers)
        assert client.read_answer()[0].status == 200
        assert upstream.requests[0].target == "/summaries"
        (row,) = gateway.rows()
        assert (row.endpoint, row.input_tokens, row.outcome) == ("/v1/chat/summaries", 9, "complete")


def test_a_preset_is_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Others have imported the table by its name: the new line goes into the table itself.
    (rows,) = gc.get_referents(presets.PRESETS)
    monkeypatch.setitem(rows, "acme", example("A preset").PRESET)
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url, upstream={"kind": "acme"})) as gateway,
        gateway.client() as client,
    ):
        upstream.script(json_answer(JSON_ANSWER))
        gateway.chat(client, question(stream=False))
        assert client.read_answer()[0].status == 200
        (request,) = upstream.requests
        assert request.header("x-acme-key") == "sk-upstream-secret"
        assert request.header("x-acme-version") == "2026-08-01"
        assert request.header("authorization") is None
