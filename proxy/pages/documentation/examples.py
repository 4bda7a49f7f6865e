"""The examples of the docs page: one for each thing that an alias of the configuration can do, in curl, Python and
JavaScript. Each is whole: with a key in PROMETHEUS_API_KEY and the file that it names it runs as it is copied.
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.pages.documentation.blocks import Sample
from proxy.pages.documentation.example_code import IMAGE, curl, javascript, literal, pretty, python, sample, with_image
from proxy.pages.documentation.facts import AliasFacts, Facts
from proxy.pages.documentation.native_examples import gemini, messages, responses

_CHAT: Final = "/v1/chat/completions"
_CHATS: Final = ("chat", "realtime", "vision")


def examples(facts: Facts) -> Iterator[Sample]:
    """The examples, in the order of the page."""
    yield _models(facts)
    chat = facts.default_chat
    if chat is not None:
        yield _chat(facts, chat)
        light = next((one for one in facts.of(*_CHATS, path=_CHAT) if one.name == "prometheus-lite"), chat)
        yield _stream(facts, light)
        yield _tools(facts, chat)
    for capability, path, make in (
        ("vision", _CHAT, _vision),
        ("embeddings", "/v1/embeddings", _embeddings),
        ("audio", "/v1/audio/transcriptions", _transcription),
        ("speech", "/v1/audio/speech", _speech),
        ("image", "/v1/images/generations", _image),
        ("rerank", "/v1/rerank", _rerank),
        ("moderation", "/v1/moderations", _moderation),
        ("search", "/v1/search", _search),
        ("ocr", "/v1/ocr", _ocr),
    ):
        found = facts.of(capability, path=path)
        if found:
            yield make(facts, found[0])
    for path, make in (
        ("/v1/responses", responses),
        ("/v1/messages", messages),
        ("/v1beta/models/{model}:generateContent", gemini),
    ):
        found = facts.of(*_CHATS, path=path)
        if found:
            yield make(facts, chat if chat in found and chat is not None else found[0])


def _models(facts: Facts) -> Sample:
    return sample(
        "models",
        "List the models",
        "The aliases that the key may use.",
        f'curl -sS {shlex.quote(facts.base_url + "/models")} \\\n  -H "Authorization: Bearer $PROMETHEUS_API_KEY"',
        python(facts, "for model in client.models.list():\n    print(model.id)\n"),
        javascript(facts, "for await (const model of client.models.list()) console.log(model.id)\n"),
    )


def _chat(facts: Facts, alias: AliasFacts) -> Sample:
    name = literal(alias.name)
    body = {
        "model": alias.name,
        "messages": [{"role": "user", "content": "Give me a deployment checklist."}],
        "temperature": 0.2,
        "max_tokens": 700,
    }
    return sample(
        "chat",
        "Chat",
        "Required are `model` and at least one message.",
        curl(facts, _CHAT, body),
        python(
            facts,
            f"""\
completion = client.chat.completions.create(
    model={name},
    messages=[
        {{"role": "system", "content": "You are a precise product engineering agent."}},
        {{"role": "user", "content": "Summarize this incident and list next actions."}},
    ],
    temperature=0.2,
    max_tokens=800,
)
print(completion.choices[0].message.content)
""",
        ),
        javascript(
            facts,
            f"""\
const completion = await client.chat.completions.create({{
  model: {name},
  messages: [
    {{ role: "system", content: "You are a precise product engineering agent." }},
    {{ role: "user", content: "Summarize this incident and list next actions." }},
  ],
  temperature: 0.2,
  max_tokens: 800,
}})
console.log(completion.choices[0]?.message?.content)
""",
        ),
    )


def _stream(facts: Facts, alias: AliasFacts) -> Sample:
    name = literal(alias.name)
    body = {"model": alias.name, "messages": [{"role": "user", "content": "Draft a release note."}], "stream": True}
    return sample(
        "streaming",
        "Streaming",
        "The first word arrives as soon as the model has written it.",
        curl(facts, _CHAT, body, options="-sSN"),
        python(
            facts,
            f"""\
stream = client.chat.completions.create(
    model={name},
    messages=[{{"role": "user", "content": "Draft a release note."}}],
    stream=True,
)
for event in stream:
    if event.choices:
        print(event.choices[0].delta.content or "", end="", flush=True)
print()
""",
        ),
        javascript(
            facts,
            f"""\
const stream = await client.chat.completions.create({{
  model: {name},
  messages: [{{ role: "user", content: "Draft a release note." }}],
  stream: true,
}})
for await (const event of stream) {{
  process.stdout.write(event.choices[0]?.delta?.content ?? "")
}}
process.stdout.write("\\n")
""",
        ),
    )


def _tools(facts: Facts, alias: AliasFacts) -> Sample:
    tools = [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "The weather in a city.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
            },
        }
    ]
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    name, tool_text, asked = literal(alias.name), pretty(tools), literal(messages)
    return sample(
        "tools",
        "Tool calls",
        "`tools`, `response_format` and all other fields of OpenAI's API are forwarded.",
        curl(facts, _CHAT, {"model": alias.name, "messages": messages, "tools": tools}),
        python(
            facts,
            f"""\
tools = {tool_text}
completion = client.chat.completions.create(
    model={name},
    messages={asked},
    tools=tools,
)
for call in completion.choices[0].message.tool_calls or []:
    print(call.function.name, call.function.arguments)
""",
        ),
        javascript(
            facts,
            f"""\
const tools = {tool_text}
const completion = await client.chat.completions.create({{
  model: {name},
  messages: {asked},
  tools,
}})
for (const call of completion.choices[0].message.tool_calls ?? []) {{
  console.log(call.function.name, call.function.arguments)
}}
""",
        ),
    )


def _vision(facts: Facts, alias: AliasFacts) -> Sample:
    name = literal(alias.name)
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "What is shown in this image?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
    ]
    return sample(
        "vision",
        "Vision",
        "An image is a part of a message: a `data:` URL, or the address of one. It counts as input tokens.",
        with_image(facts, _CHAT, {"model": alias.name, "messages": [{"role": "user", "content": parts}]}),
        python(
            facts,
            f"""\
image = base64.b64encode(open("screenshot.png", "rb").read()).decode()
completion = client.chat.completions.create(
    model={name},
    messages=[
        {{
            "role": "user",
            "content": [
                {{"type": "text", "text": "Read this exercise and explain the next step."}},
                {{"type": "image_url", "image_url": {{"url": f"data:image/png;base64,{{image}}"}}}},
            ],
        }}
    ],
)
print(completion.choices[0].message.content)
""",
            imports="import base64\n",
        ),
        javascript(
            facts,
            f"""\
const image = fs.readFileSync("screenshot.png", "base64")
const completion = await client.chat.completions.create({{
  model: {name},
  messages: [
    {{
      role: "user",
      content: [
        {{ type: "text", text: "Read this exercise and explain the next step." }},
        {{ type: "image_url", image_url: {{ url: `data:image/png;base64,${{image}}` }} }},
      ],
    }},
  ],
}})
console.log(completion.choices[0]?.message?.content)
""",
            imports='import fs from "node:fs"\n',
        ),
    )


def _embeddings(facts: Facts, alias: AliasFacts) -> Sample:
    texts = ["billing webhook retry policy", "invoice payment failed"]
    name, given = literal(alias.name), literal(texts)
    return sample(
        "embeddings",
        "Embeddings",
        "`input` is a text, a list of texts, tokens, or a list of them.",
        curl(facts, "/v1/embeddings", {"model": alias.name, "input": texts}),
        python(
            facts,
            f"""\
result = client.embeddings.create(
    model={name},
    input={given},
)
print(len(result.data), "vectors of", len(result.data[0].embedding))
""",
        ),
        javascript(
            facts,
            f"""\
const result = await client.embeddings.create({{
  model: {name},
  input: {given},
}})
console.log(result.data.length, "vectors of", result.data[0].embedding.length)
""",
        ),
    )


def _transcription(facts: Facts, alias: AliasFacts) -> Sample:
    name = literal(alias.name)
    path = "/v1/audio/transcriptions"
    return sample(
        "transcription",
        "Audio transcription",
        "A form with `file` and `model`; `response_format` is json, text, verbose_json, srt or vtt.",
        f"curl -sS {shlex.quote(facts.origin + path)} \\\n"
        '  -H "Authorization: Bearer $PROMETHEUS_API_KEY" \\\n'
        f"  -F {shlex.quote(f'model={alias.name}')} \\\n  -F response_format=json \\\n  -F file=@meeting.mp3",
        python(
            facts,
            f"""\
with open("meeting.mp3", "rb") as file:
    transcript = client.audio.transcriptions.create(
        model={name},
        file=file,
        response_format="json",
    )
print(transcript.text)
""",
        ),
        javascript(
            facts,
            f"""\
const transcript = await client.audio.transcriptions.create({{
  model: {name},
  file: fs.createReadStream("meeting.mp3"),
  response_format: "json",
}})
console.log(transcript.text)
""",
            imports='import fs from "node:fs"\n',
        ),
    )


def _speech(facts: Facts, alias: AliasFacts) -> Sample:
    name = literal(alias.name)
    body = {"model": alias.name, "voice": "alloy", "input": "The deployment is done."}
    return sample(
        "speech",
        "Speech",
        "The response is audio, which is sent while it is made.",
        curl(facts, "/v1/audio/speech", body, options="-sS -o speech.mp3"),
        python(
            facts,
            f"""\
with client.audio.speech.with_streaming_response.create(
    model={name},
    voice="alloy",
    input="The deployment is done.",
) as response:
    response.stream_to_file("speech.mp3")
print(os.path.getsize("speech.mp3"), "bytes")
""",
        ),
        javascript(
            facts,
            f"""\
const speech = await client.audio.speech.create({{
  model: {name},
  voice: "alloy",
  input: "The deployment is done.",
}})
fs.writeFileSync("speech.mp3", Buffer.from(await speech.arrayBuffer()))
console.log(fs.statSync("speech.mp3").size, "bytes")
""",
            imports='import fs from "node:fs"\n',
        ),
    )


def _image(facts: Facts, alias: AliasFacts) -> Sample:
    name = literal(alias.name)
    body = {"model": alias.name, "prompt": "A lighthouse in fog, watercolour", "response_format": "b64_json"}
    return sample(
        "images",
        "Images",
        "The image comes as base64; `/v1/images/edits` takes one to change.",
        curl(facts, "/v1/images/generations", body),
        python(
            facts,
            f"""\
result = client.images.generate(
    model={name},
    prompt="A lighthouse in fog, watercolour",
    response_format="b64_json",
)
with open("image.png", "wb") as file:
    print(file.write(base64.b64decode(result.data[0].b64_json)), "bytes")
""",
            imports="import base64\n",
        ),
        javascript(
            facts,
            f"""\
const result = await client.images.generate({{
  model: {name},
  prompt: "A lighthouse in fog, watercolour",
  response_format: "b64_json",
}})
fs.writeFileSync("image.png", Buffer.from(result.data[0].b64_json, "base64"))
console.log(fs.statSync("image.png").size, "bytes")
""",
            imports='import fs from "node:fs"\n',
        ),
    )


def _posted(facts: Facts, id_: str, title: str, text: str, path: str, body: Mapping[str, Any], found: str) -> Sample:
    """An endpoint for which OpenAI's SDKs have no method: they post to it by its path. `found` is what is printed."""
    in_sdk = json.dumps(path.removeprefix("/v1"))
    return sample(
        id_,
        title,
        text,
        curl(facts, path, body),
        python(
            facts,
            f"body = {pretty(body)}\nresult = client.post({in_sdk}, body=body, cast_to=object)\n"
            f"print(result[{json.dumps(found)}])\n",
        ),
        javascript(
            facts,
            f"const body = {pretty(body)}\nconst result = await client.post({in_sdk}, {{ body }})\n"
            f"console.log(result.{found})\n",
        ),
    )


def _rerank(facts: Facts, alias: AliasFacts) -> Sample:
    documents = ["Refunds take five days.", "Streams end with [DONE].", "Keys can be rotated."]
    body = {"model": alias.name, "query": "How does a stream end?", "documents": documents, "top_n": 2}
    text = "The documents by how well they fit the query, the best first."
    return _posted(facts, "rerank", "Reranking", text, "/v1/rerank", body, "results")


def _moderation(facts: Facts, alias: AliasFacts) -> Sample:
    name = literal(alias.name)
    return sample(
        "moderation",
        "Moderation",
        "What is harmful in a text or an image, by category.",
        curl(facts, "/v1/moderations", {"model": alias.name, "input": "What a lovely day."}),
        python(
            facts,
            f"""\
result = client.moderations.create(model={name}, input="What a lovely day.")
print(result.results[0].flagged)
""",
        ),
        javascript(
            facts,
            f"""\
const result = await client.moderations.create({{ model: {name}, input: "What a lovely day." }})
console.log(result.results[0].flagged)
""",
        ),
    )


def _search(facts: Facts, alias: AliasFacts) -> Sample:
    body = {"model": alias.name, "query": "streaming gateways", "max_results": 3}
    return _posted(facts, "search", "Web search", "Pages with their addresses.", "/v1/search", body, "results")


def _ocr(facts: Facts, alias: AliasFacts) -> Sample:
    name = literal(alias.name)
    document = {"type": "image_url", "image_url": f"data:image/png;base64,{IMAGE}"}
    return sample(
        "ocr",
        "OCR",
        "The text in a document or an image, page by page.",
        with_image(facts, "/v1/ocr", {"model": alias.name, "document": document}),
        python(
            facts,
            f"""\
image = base64.b64encode(open("screenshot.png", "rb").read()).decode()
document = {{"type": "image_url", "image_url": f"data:image/png;base64,{{image}}"}}
result = client.post("/ocr", body={{"model": {name}, "document": document}}, cast_to=object)
print(result["pages"][0]["markdown"])
""",
            imports="import base64\n",
        ),
        javascript(
            facts,
            f"""\
const image = fs.readFileSync("screenshot.png", "base64")
const document = {{ type: "image_url", image_url: `data:image/png;base64,${{image}}` }}
const result = await client.post("/ocr", {{ body: {{ model: {name}, document }} }})
console.log(result.pages[0].markdown)
""",
            imports='import fs from "node:fs"\n',
        ),
    )
