"""Examples of the docs page for the further formats in which an alias for chat can be called."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from proxy.pages.documentation.blocks import Sample
from proxy.pages.documentation.example_code import curl, javascript, literal, python, sample
from proxy.pages.documentation.facts import AliasFacts, Facts


def responses(facts: Facts, alias: AliasFacts) -> Sample:
    name = literal(alias.name)
    return sample(
        "responses",
        "Responses API",
        "OpenAI's newer form of chat; a response can be continued by its id.",
        curl(facts, "/v1/responses", {"model": alias.name, "input": "Name three uses of a gateway."}),
        python(
            facts,
            f"""\
response = client.responses.create(model={name}, input="Name three uses of a gateway.")
print(response.output_text)
""",
        ),
        javascript(
            facts,
            f"""\
const response = await client.responses.create({{ model: {name}, input: "Name three uses of a gateway." }})
console.log(response.output_text)
""",
        ),
    )


def messages(facts: Facts, alias: AliasFacts) -> Sample:
    name, origin = literal(alias.name), literal(facts.origin)
    body = {"model": alias.name, "max_tokens": 300, "messages": [{"role": "user", "content": "Ship it."}]}
    headers = ('"x-api-key: $PROMETHEUS_API_KEY"', '"anthropic-version: 2023-06-01"')
    return sample(
        "messages",
        "Anthropic's Messages API",
        "Anthropic's SDKs take this address without `/v1`: they add it themselves.",
        curl(facts, "/v1/messages", body, headers=headers),
        f"""\
import os
from anthropic import Anthropic

client = Anthropic(api_key=os.environ["PROMETHEUS_API_KEY"], base_url={origin})

message = client.messages.create(
    model={name},
    max_tokens=300,
    messages=[{{"role": "user", "content": "Ship it."}}],
)
print(message.content[0].text)
""",
        _fetched(f"{facts.origin}/v1/messages", body, ["x-api-key", "anthropic-version"], "content[0].text"),
    )


def gemini(facts: Facts, alias: AliasFacts) -> Sample:
    name, origin = literal(alias.name), literal(facts.origin)
    path = f"/v1beta/models/{quote(alias.name, safe='')}:generateContent"
    body = {"contents": [{"role": "user", "parts": [{"text": "Ship it."}]}]}
    found = "candidates[0].content.parts[0].text"
    return sample(
        "gemini",
        "Gemini's own format",
        "Google's SDKs take this address without a version: they add it themselves.",
        curl(facts, path, body, headers=('"x-goog-api-key: $PROMETHEUS_API_KEY"',)),
        f"""\
import os
from google import genai

client = genai.Client(
    api_key=os.environ["PROMETHEUS_API_KEY"],
    http_options={{"base_url": {origin}}},
)
response = client.models.generate_content(model={name}, contents="Ship it.")
print(response.text)
""",
        _fetched(facts.origin + path, body, ["x-goog-api-key"], found),
    )


def _fetched(url: str, body: Mapping[str, Any], headers: list[str], found: str) -> str:
    """A call by `fetch`, which needs no package. The first header has the key."""
    lines = [f'    "{headers[0]}": process.env.PROMETHEUS_API_KEY,\n']
    lines += [f'    "{name}": "2023-06-01",\n' for name in headers[1:]]
    return (
        f'const response = await fetch({json.dumps(url)}, {{\n  method: "POST",\n  headers: {{\n{"".join(lines)}'
        f'    "content-type": "application/json",\n  }},\n  body: JSON.stringify({literal(body)}),\n}})\n'
        f"const result = await response.json()\nconsole.log(result.{found})\n"
    )
