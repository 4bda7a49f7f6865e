"""The hosted API's reference: base URL, keys, endpoints, aliases, prices, errors, and the page for agents."""

from decimal import Decimal

from tests.spec.claims import Claims
from tests.spec.demo import PNG_URL, Demo, wav

HOSTED = Claims("hosted reference")

#: Alias, capability, USD per million tokens in and out (audio: a minute).
ALIASES = (
    ("prometheus-spark", "chat", "0.15", "0.60"),
    ("prometheus-lite", "chat", "0.10", "0.40"),
    ("prometheus-core", "chat", "1.10", "4.40"),
    ("prometheus-vision", "chat", "0.40", "1.60"),
    ("prometheus-atlas", "embeddings", "0.02", "0"),
    ("prometheus-echo", "audio", "0.006", "0"),
)


@HOSTED.claim("Base URL and key", "the first example of the page: a chat with temperature and max_tokens, by curl")
def first_example(demo: Demo) -> None:
    said = [{"role": "user", "content": "Give me a deployment checklist."}]
    response = demo.chat(messages=said, temperature=0.2, max_tokens=700)
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"]


@HOSTED.claim("Base URL and key", "every /v1/* endpoint wants the bearer key")
def bearer_everywhere(demo: Demo) -> None:
    for method, path in (
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/audio/transcriptions"),
    ):
        assert demo.http.request(method, path).status_code == 401, path


@HOSTED.claim("Base URL and key", "usage is logged against the key that asked")
def logged_against_key(demo: Demo) -> None:
    assert demo.row(demo.chat().headers["x-request-id"]).key.startswith("key_")


@HOSTED.claim("Agent contract", "GET /v1/models is an OpenAI list of the aliases that the key may use")
def models(demo: Demo) -> None:
    listed = demo.get("/v1/models").json()
    assert listed["object"] == "list"
    names = {one["id"] for one in listed["data"]}
    assert {alias for alias, *_ in ALIASES} <= names
    assert all(name.startswith("prometheus-") for name in names)


def _alias(alias: str, capability: str, given: str, produced: str) -> None:
    def check(demo: Demo) -> None:
        if capability == "audio":
            response = demo.transcribe("json")
            assert response.status_code == 200
            # One second of a minute.
            assert Decimal(response.headers["x-prism-cost"]) == (Decimal(given) / 60).quantize(Decimal("1e-9"))
            return
        if capability == "embeddings":
            response = demo.send("POST", "/v1/embeddings", {"model": alias, "input": "one two three"})
        else:
            response = demo.chat(model=alias)
        assert response.status_code == 200
        usage = response.json()["usage"]
        cost = usage["prompt_tokens"] * Decimal(given) + usage.get("completion_tokens", 0) * Decimal(produced)
        assert Decimal(response.headers["x-prism-cost"]) == (cost / 1_000_000).quantize(Decimal("1e-9"))
        assert response.json()["model"] == alias

    HOSTED.add("Models and prices", f"{alias} answers, and costs what the table says", check)


for _row in ALIASES:
    _alias(*_row)


@HOSTED.claim("Models and prices", "images of the vision model count as input tokens, without a fee of their own")
def vision_by_tokens(demo: Demo) -> None:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": PNG_URL}}]
    response = demo.chat(model="prometheus-vision", messages=[{"role": "user", "content": parts}])
    usage = response.json()["usage"]
    cost = usage["prompt_tokens"] * Decimal("0.40") + usage["completion_tokens"] * Decimal("1.60")
    assert Decimal(response.headers["x-prism-cost"]) == cost / 1_000_000


@HOSTED.claim("Rules", "a provider's own model id is not taken")
def aliases_only(demo: Demo) -> None:
    response = demo.chat(model="no-such-provider/gpt")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


@HOSTED.claim("Rules", "stream: true brings OpenAI's chunks, with the alias as their model, and ends with [DONE]")
def stream(demo: Demo) -> None:
    response = demo.chat(stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    assert all('"model":"prometheus-core"' in line.replace(" ", "") for line in lines[:-1])


@HOSTED.claim("Rules", "tools, response_format, top_p and stream_options go on to the model")
def extra_fields(demo: Demo) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    forced = {"type": "function", "function": {"name": "look"}}
    called = demo.chat(tools=[tool], tool_choice=forced, top_p=0.9).json()
    assert called["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look"
    assert demo.chat(response_format={"type": "json_object"}).status_code == 200
    assert '"usage":{' in demo.chat(stream=True, stream_options={"include_usage": True}).text.replace(" ", "")


@HOSTED.claim("SDK examples", "JavaScript: a chat completion")
def javascript_chat(demo: Demo) -> None:
    assert demo.node("""
        const completion = await prometheus.chat.completions.create({
          model: "prometheus-core", temperature: 0.2, max_tokens: 800,
          messages: [
            { role: "system", content: "You are a precise product engineering agent." },
            { role: "user", content: "Summarize this incident and list next actions." },
          ],
        });
        console.log(JSON.stringify(completion.choices[0]?.message?.content));
    """)


@HOSTED.claim("SDK examples", "JavaScript: a streamed chat completion")
def javascript_stream(demo: Demo) -> None:
    assert demo.node("""
        const stream = await prometheus.chat.completions.create({
          model: "prometheus-lite", messages: [{ role: "user", content: "Draft a release note." }], stream: true,
        });
        let text = "";
        for await (const event of stream) text += event.choices[0]?.delta?.content ?? "";
        console.log(JSON.stringify(text));
    """)


@HOSTED.claim("SDK examples", "JavaScript: a picture for the vision model")
def javascript_vision(demo: Demo) -> None:
    assert demo.node(f"""
        const completion = await prometheus.chat.completions.create({{
          model: "prometheus-vision",
          messages: [{{ role: "user", content: [
            {{ type: "text", text: "Read this exercise and explain the next step." }},
            {{ type: "image_url", image_url: {{ url: "{PNG_URL}" }} }},
          ] }}],
        }});
        console.log(JSON.stringify(completion.choices[0]?.message?.content));
    """)


@HOSTED.claim("SDK examples", "JavaScript: embeddings of two texts")
def javascript_embeddings(demo: Demo) -> None:
    assert demo.node("""
        const result = await prometheus.embeddings.create({
          model: "prometheus-atlas", input: ["Prometheus is a gateway.", "Agents should use stable aliases."],
        });
        console.log(JSON.stringify([result.data.length, result.data[0]?.embedding.length > 0]));
    """) == [2, True]


@HOSTED.claim("SDK examples", "JavaScript: a transcription of a file that is read as a stream")
def javascript_transcription(demo: Demo) -> None:
    path = demo.file("meeting.wav", wav())
    assert demo.node(f"""
        const transcript = await prometheus.audio.transcriptions.create({{
          model: "prometheus-echo", file: fs.createReadStream("{path}"), response_format: "json",
        }});
        console.log(JSON.stringify(transcript.text));
    """)


@HOSTED.claim("Chat completions", "an empty list of messages is refused, as is a missing model")
def required_fields(demo: Demo) -> None:
    assert demo.chat(messages=[]).status_code == 400
    response = demo.send("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "model")


def _embedding(text: str, given: object) -> None:
    def check(demo: Demo) -> None:
        response = demo.send("POST", "/v1/embeddings", {"model": "prometheus-atlas", "input": given, "dimensions": 8})
        assert response.status_code == 200
        assert len(response.json()["data"][0]["embedding"]) == 8

    HOSTED.add("Embeddings", f"input as {text}, with dimensions", check)


for _text, _given in (
    ("a string", "one"),
    ("a string array", ["one", "two"]),
    ("a token array", [1, 2, 3]),
    ("a token-array batch", [[1, 2], [3]]),
):
    _embedding(_text, _given)


@HOSTED.claim("Embeddings", "encoding_format base64")
def base64_embeddings(demo: Demo) -> None:
    body = {"model": "prometheus-atlas", "input": "one", "encoding_format": "base64"}
    assert isinstance(demo.send("POST", "/v1/embeddings", body).json()["data"][0]["embedding"], str)


def _transcript(response_format: str) -> None:
    def check(demo: Demo) -> None:
        response = demo.transcribe(response_format)
        assert response.status_code == 200
        json_like = response_format in ("json", "verbose_json")
        assert response.headers["content-type"].startswith("application/json" if json_like else "text/plain")
        assert response.json()["text"] if json_like else response.text

    HOSTED.add("Audio transcriptions", f"response_format {response_format}", check)


for _format in ("json", "text", "verbose_json", "srt", "vtt"):
    _transcript(_format)


@HOSTED.claim("Audio transcriptions", "a file of more than 25 MB is refused with 413")
def audio_limit(demo: Demo) -> None:
    assert demo.transcribe("json", bytes(26_214_401)).status_code == 413


@HOSTED.claim("Audio transcriptions", "a file of 25 MB is taken")
def audio_at_limit(demo: Demo) -> None:
    content = wav()
    assert demo.transcribe("json", content + bytes(26_214_400 - len(content))).status_code == 200


@HOSTED.claim("Errors", "a missing key: the message, type, param and code of the page's example")
def missing_key(demo: Demo) -> None:
    response = demo.http.post("/v1/chat/completions", json={})
    assert response.status_code == 401
    assert response.json()["error"] == {
        "message": "Missing API key. Provide it as Authorization: Bearer <key>.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }


@HOSTED.claim("Errors", "every error has message, type, param and code")
def envelope(demo: Demo) -> None:
    for response in (demo.chat(model="none"), demo.chat(messages=1), demo.get("/v1/nothing"), demo.get("/v1/files/x")):
        assert response.status_code >= 400
        assert {"message", "type", "param", "code"} <= set(response.json()["error"])


@HOSTED.claim("Pages", "the docs page for people")
def docs_page(demo: Demo) -> None:
    response = demo.http.get("/", headers={"accept": "text/html"})
    assert response.headers["content-type"].startswith("text/html")
    assert "prometheus-core" in response.text


@HOSTED.claim("Pages", "the agent spec as a text")
def agent_spec(demo: Demo) -> None:
    response = demo.http.get("/agent-spec.md")
    assert response.status_code == 200
    assert "prometheus-core" in response.text
