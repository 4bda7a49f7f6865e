"""What the docs page and the page of errors say, as blocks made from facts. Neither HTML nor Markdown stands here."""

from collections.abc import Iterator
from typing import Final

from proxy.pages.documentation.agent_spec import agent_spec, budget_words, limit_words, pricing
from proxy.pages.documentation.blocks import Block, Code, Insert, Items, Paragraph, Section, Table, code, plain
from proxy.pages.documentation.error_codes import COMMON, ERROR_CODES, ErrorCode
from proxy.pages.documentation.examples import examples
from proxy.pages.documentation.facts import AliasFacts, Facts, KeyFacts

TITLE: Final = "Prometheus Gateway API"
LEAD: Final = (
    "Copy the base URL, send a bearer key, choose a model alias, and use the standard OpenAI request shapes. "
    "This page is for engineers and for agents."
)
ERRORS_TITLE: Final = "Errors"
ERRORS_LEAD: Final = "What the gateway sends when a request does not get the response that it asked for."
_NO_VALUE: Final = "—"
_ENVELOPE: Final = """\
{
  "error": {
    "message": "Missing API key. Provide it as Authorization: Bearer <key>.",
    "type": "invalid_request_error",
    "param": null,
    "code": "invalid_api_key"
  },
  "request_id": "req_0123456789abcdef0123456789abcdef",
  "timestamp": "2026-01-31T12:00:00.000Z"
}"""
_JAVASCRIPT: Final = """\
import OpenAI from "openai"

export const prometheus = new OpenAI({{
  apiKey: process.env.PROMETHEUS_API_KEY,
  baseURL: "{url}",
}})"""
_PYTHON: Final = """\
import os
from openai import OpenAI

client = OpenAI(
    api_key=os.environ["PROMETHEUS_API_KEY"],
    base_url="{url}",
)"""
_SHELL: Final = """\
export OPENAI_BASE_URL={url}
export OPENAI_API_KEY=$PROMETHEUS_API_KEY"""
_STREAM: Final = """\
data: {"id":"chatcmpl-1","model":"%s","choices":[{"index":0,"delta":{"content":"Ship"}}]}

data: {"id":"chatcmpl-1","model":"%s","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

: prism-cost 0.0000187 input_tokens=9 cached_input_tokens=0 output_tokens=2 usage=reported
data: [DONE]"""


def home_sections(facts: Facts) -> Iterator[Section]:
    """The sections of the docs page, in their order."""
    if facts.key is not None:
        yield _key(facts.key, facts)
    yield _start(facts)
    yield _models(facts)
    yield _pricing(facts)
    spec = Code("text", agent_spec(facts), "agent-spec.md")
    text = (
        "The compact contract that an autonomous agent needs before it calls the API; by itself at "
        f"[/agent-spec.md]({facts.origin}/agent-spec.md). Fetch it with a key, and it has what that key may use, its "
        "limits, and what is left of its budget."
    )
    yield Section("agent-spec", "Agent spec", (Paragraph(text), spec))
    yield Section(
        "try", "Try it", (Insert("try_it.html", f"In a browser, [the page]({facts.origin}/#try) has a form."),)
    )
    yield _sdk(facts)
    yield Section("examples", "Examples", (Insert("languages.html", _EXAMPLES), *examples(facts)))
    yield _endpoints(facts)
    if facts.default_chat is not None:
        yield _streaming(facts)
    yield _limits(facts)
    yield _errors(facts)
    yield _agents(facts)


_EXAMPLES: Final = "Each runs as it is copied, with a key in `PROMETHEUS_API_KEY`."


def _key(key: KeyFacts, facts: Facts) -> Section:
    scope = "every model" if key.has_all else f"{len(facts.aliases)} of the models"
    blocks: list[Block] = [
        Paragraph(f"The key {code(key.name)} may use {scope}. This page lists what it may use, and nothing else."),
        Items(tuple(plain(limit_words(limit)) for limit in key.limits) or ("It has no rate limits.",)),
        Items(tuple(plain(budget_words(budget)) for budget in key.budgets) or ("It has no budgets.",)),
    ]
    return Section("key", "Your key", tuple(blocks))


def _start(facts: Facts) -> Section:
    chat = facts.default_chat
    rows = [
        ("Base URL", code(facts.base_url)),
        ("Auth", code(f"Authorization: Bearer {facts.key_prefix}...")),
        ("Default chat model", code(chat.name) if chat is not None else "none is configured"),
        ("Compatibility", "OpenAI SDK with a custom base URL"),
    ]
    first = next(iter(examples(facts))) if chat is None else list(examples(facts))[1]
    return Section("start", "Start", (Table("The gateway in short", ("What", "Value"), tuple(rows)), first.codes[0]))


def _models(facts: Facts) -> Section:
    if not facts.aliases:
        return Section("models", "Models", (Paragraph("No models are configured yet. The operator adds them."),))
    rows = tuple(
        (code(alias.name), code(_usual(alias)), plain(alias.title), plain(alias.use)) for alias in facts.aliases
    )
    text = "A model is named by its alias, which stays when what is behind it gets better."
    notes: list[Block] = [Paragraph(text), Table("Models", ("Alias", "Endpoint", "Capability", "Use when"), rows)]
    if facts.of("realtime"):
        names = " and ".join(code(alias.name) for alias in facts.of("realtime"))
        notes.append(
            Paragraph(
                f"{names}: realtime is chat over HTTP by a model that responds at once; stream it. The Realtime API "
                "over WebSocket (`/v1/realtime`) is not served."
            )
        )
    return Section("models", "Models", tuple(notes))


def _usual(alias: AliasFacts) -> str:
    return alias.paths[0] if alias.paths else "none"


def _pricing(facts: Facts) -> Section:
    has_other = any(alias.column("other") for alias in facts.aliases)
    heads = ("Alias", "Capability", "Input", "Output", *(("Also",) if has_other else ()))
    rows = []
    for alias in facts.aliases:
        cells = [plain(alias.column(name)) or _NO_VALUE for name in ("input", "output", "other")]
        if alias.is_free or not alias.is_priced:
            cells = [alias.price, _NO_VALUE, _NO_VALUE]
        rows.append((code(alias.name), plain(alias.title), *cells[: len(heads) - 2]))
    table = Table("Prices in USD", heads, tuple(rows))
    return Section("pricing", "Pricing", (Paragraph(" ".join(pricing(facts))), *((table,) if rows else ())))


def _sdk(facts: Facts) -> Section:
    url = facts.base_url
    text = "Set the base URL of OpenAI's SDK to this gateway, and give it a key of this gateway as its API key."
    rows = (
        ("OpenAI's SDKs, and what is built on them", code(url), "`OPENAI_BASE_URL`, `OPENAI_API_KEY`"),
        ("Azure's client of OpenAI's SDK", code(facts.origin), "`azure_endpoint`, `AZURE_OPENAI_API_KEY`"),
        ("Anthropic's SDKs, Claude Code", code(facts.origin), "`ANTHROPIC_BASE_URL`, `ANTHROPIC_AUTH_TOKEN`"),
        ("Google's SDKs, Gemini CLI", code(facts.origin), "`GOOGLE_GEMINI_BASE_URL`, `GEMINI_API_KEY`"),
        ("Codex", code(url), '`wire_api = "responses"`, and `env_key`'),
    )
    known = [one for one in rows if not one[0].startswith(("Anthropic", "Google"))]
    if any(one.format == "Anthropic" for one in facts.endpoints):
        known.append(rows[2])
    if any(one.format == "Gemini" for one in facts.endpoints):
        known.append(rows[3])
    return Section(
        "sdk",
        "Set up an SDK",
        (
            Paragraph(text),
            Code("javascript", _JAVASCRIPT.format(url=url), "JavaScript"),
            Code("python", _PYTHON.format(url=url), "Python"),
            Code("bash", _SHELL.format(url=url), "Environment"),
            Table("Clients and their base URLs", ("Client", "Base URL", "Where it is set"), tuple(known)),
        ),
    )


def _endpoints(facts: Facts) -> Section:
    """The endpoints, and what those that most use take."""

    def names(*capabilities: str) -> str:
        return ", ".join(code(alias.name) for alias in facts.of(*capabilities))

    texts = [
        "Every `/v1/*` endpoint takes the bearer key. Each request is counted for the key that sent it.",
        "`GET /v1/models` returns the aliases that the key may use, in OpenAI's list shape: "
        '`{ object: "list", data: [...] }`. Each id is an alias.',
    ]
    if facts.default_chat is not None:
        chats = names("chat", "vision", "realtime")
        texts.append(
            f"`POST /v1/chat/completions` takes {chats}. Required are `model` and at least one item of `messages`. "
            "Optional are `stream`, `temperature`, `max_tokens`, `top_p`, `tools`, `response_format`, image parts, and "
            "all other fields of OpenAI's API."
        )
    if facts.of("embeddings"):
        texts.append(
            f"`POST /v1/embeddings` takes {names('embeddings')}. `input` is a text, a list of texts, tokens, or a list "
            "of them. Optional are `encoding_format` and `dimensions`."
        )
    if facts.of("audio"):
        size = facts.max_audio_bytes / 2**20
        texts.append(
            f"`POST /v1/audio/transcriptions` takes {names('audio')}, as a multipart form with `file` and `model`. "
            "Optional are `language`, `temperature`, and `response_format` as json, text, verbose_json, srt or vtt. "
            f"An audio file may have {size:.4g} MB."
        )
    texts.append(
        f"All endpoints with all their fields are in [/docs]({facts.origin}/docs), which sends requests, in "
        f"[/redoc]({facts.origin}/redoc), and as an OpenAPI document at [/openapi.json]({facts.origin}/openapi.json)."
    )
    rows = tuple((f"`{one.method} {one.path}`", one.help, one.response, one.format) for one in facts.endpoints)
    return Section(
        "endpoints",
        "Endpoints",
        (
            Items(tuple(texts)),
            Table(
                "Endpoints that the models above serve",
                ("Endpoint", "What it does", "Response", "Format"),
                (("`GET /v1/models`", "List the models that the key may use.", "json", "OpenAI"), *rows),
            ),
            Paragraph(
                f"A request may have {facts.max_body_bytes / 2**20:.4g} MiB. Extra fields are forwarded as they are; "
                "only the model's name is replaced, and every response has the alias."
            ),
        ),
    )


def _streaming(facts: Facts) -> Section:
    chat = facts.default_chat
    name = chat.name if chat is not None else ""
    texts = [
        "`stream: true` sends OpenAI's server-sent events, each as soon as the model has written it. Prefer it for the "
        "lowest time to first token.",
        "A whole stream ends with `data: [DONE]`. One that fails has an event with `error`, and then its connection is "
        "closed: without `[DONE]` a response is not whole.",
        '`stream_options: {"include_usage": true}` adds a last chunk with the usage.',
        "Send `x-prism-include-metadata: 1`, and a comment before the end says what the stream has cost, in USD. "
        "Parsers of events skip it.",
        "A stream that is closed by the client is stopped at the provider, and only what was sent is charged.",
    ]
    if facts.heartbeat_interval:
        texts.append(
            f"Comments (`: ping`) keep a stream alive that waits for more than {facts.heartbeat_interval:g} s."
        )
    sample = Code("text", _STREAM.replace("%s", name), "The end of a stream")
    return Section("streaming", "Streaming", (Items(tuple(texts)), sample))


def _limits(facts: Facts) -> Section:
    texts = (
        "A key may have limits of requests, running requests, tokens and minutes of audio, and budgets in USD. Where a "
        "limit applies every response says what is left of the tightest one.",
        "A refusal is a 429 with `retry-after`. SDKs wait and try again by themselves; one of a budget has "
        "`x-should-retry: false`, for trying again does not help.",
    )
    response = (
        ("`x-request-id`", "The gateway's id of the request. Give it to the operator with a question."),
        ("`x-ratelimit-limit-requests`, `-tokens`", "The tightest limit."),
        ("`x-ratelimit-remaining-requests`, `-tokens`", "How much of it is left."),
        ("`x-ratelimit-reset-requests`, `-tokens`", "How long until all of it is back, such as `6m0s`."),
        ("`retry-after`, `retry-after-ms`", "With a 429: when the same request could pass."),
        ("`X-Prism-Cost`", "What a whole response has cost, in USD, where the alias has a price."),
        ("`X-Prism-Model-Used`", "The alias that has served the request."),
        ("`X-Prism-Latency-Ms`", "Milliseconds from the request to the head of its response."),
        ("`X-Prism-Timeout-Ms`", "How long the first byte may take."),
        ("`X-Prism-Fallback-Used`", "`true` where a fallback has served the request."),
        ("`X-Prism-Warning`", "A request header was ignored, and why."),
    )
    request = (
        ("`x-prism-session-id`, `x-prism-user-id`", "Labels of the request, for reports."),
        ("`x-prism-metadata`", "Further labels: `team=web,feature=search`."),
        ("`x-prism-request-timeout`", "The longest that the request may take: `90s`, `5m`, or milliseconds."),
        ("`x-prism-trace-id`, `traceparent`", "The trace that the request belongs to."),
        ("`x-prism-include-metadata`", "`1`: a stream says at its end what it has cost."),
    )
    return Section(
        "limits",
        "Limits and headers",
        (
            *map(Paragraph, texts),
            Table("Headers of responses", ("Header", "What it says"), response),
            Table("Headers of requests, all optional", ("Header", "What it does"), request),
        ),
    )


def _errors(facts: Facts) -> Section:
    text = (
        "Errors have OpenAI's envelope, at `/v1/messages` Anthropic's and at `/v1beta` Google's. "
        f"[All codes]({facts.origin}/errors)."
    )
    table = _code_table([one for one in ERROR_CODES if one.code in COMMON])
    return Section("errors", "Errors", (Paragraph(text), Code("json", _ENVELOPE, "401"), table))


def _code_table(codes: list[ErrorCode]) -> Table:
    rows = tuple((f"`{one.code}`", one.status, f"`{one.type}`", one.help) for one in codes)
    return Table("Codes", ("Code", "Status", "Type", "What to do"), rows)


def _agents(facts: Facts) -> Section:
    origin = facts.origin
    rows = (
        (f"[/agent-spec.md]({origin}/agent-spec.md)", "The contract, for a prompt."),
        (f"[/index.md]({origin}/index.md)", "This page as Markdown."),
        (f"[/errors.md]({origin}/errors.md)", "All codes of errors as Markdown."),
        (f"[/llms.txt]({origin}/llms.txt)", "What there is, for agents."),
    )
    text = (
        "Each page has a twin in Markdown. With a key in the `Authorization` header they say what that key may use and "
        "what is left of its limits and its budget; nothing of other keys is ever in them."
    )
    return Section("agents", "For agents", (Paragraph(text), Table("Pages for agents", ("Page", "What it is"), rows)))


def error_sections(facts: Facts) -> Iterator[Section]:
    """The sections of the page of errors."""
    yield Section(
        "envelope",
        "The envelope",
        (
            Paragraph(
                "An error has the shape of the endpoint: OpenAI's, at `/v1/messages` Anthropic's and at `/v1beta` "
                "Google's. `request_id` is in the header `x-request-id` too: give it to the operator with a question."
            ),
            Code("json", _ENVELOPE, "401"),
        ),
    )
    yield Section("codes", "Codes", (_code_table(list(ERROR_CODES)),))
    yield Section(
        "retries",
        "When to try again",
        (
            Items(
                (
                    "429: after `retry-after` seconds, unless `x-should-retry` is `false`.",
                    "500, 502, 503, 504: with backoff. The gateway itself has tried other providers already.",
                    "Any other 4xx: not before the request is changed.",
                    "A stream without its last event: it broke off, and is not whole. Ask again.",
                )
            ),
            Paragraph(
                "An error that a model's provider reports passes with its own status and words. It names the alias, "
                f"and never who is behind it. [Back to the API]({facts.origin}/)."
            ),
        ),
    )


def llms_txt(facts: Facts) -> str:
    """`/llms.txt`, in the form of https://llmstxt.org: a title, a summary, and links."""
    origin = facts.origin
    return (
        f"# {TITLE}\n\n"
        f"> An OpenAI-compatible API to AI models by stable aliases. Base URL: {facts.base_url}. "
        f"Send a {facts.key_prefix} key as a Bearer token.\n\n"
        "With a key in the Authorization header, each of these has what that key may use and what is left of it.\n\n"
        "## Docs\n\n"
        f"- [Agent spec]({origin}/agent-spec.md): base URL, key, endpoints, models, prices and rules; read this first\n"
        f"- [API]({origin}/index.md): models, prices, examples in curl, Python and JavaScript, headers, streaming\n"
        f"- [Errors]({origin}/errors.md): every code, and what to do\n\n"
        "## Optional\n\n"
        f"- [Models]({facts.base_url}/models): the aliases that a key may use, as JSON; needs the key\n"
    )


def short_text(facts: Facts) -> str:
    """What a terminal gets at `/`."""
    chat = facts.default_chat
    lines = [
        "An OpenAI-compatible gateway to AI models.",
        "",
        f"Base URL: {facts.base_url}",
        f"Auth:     Authorization: Bearer {facts.key_prefix}...",
        f"Models:   {', '.join(alias.name for alias in facts.aliases) or 'none are configured yet'}",
        f"Spec:     {facts.origin}/agent-spec.md   Docs: {facts.origin}/index.md   Errors: {facts.origin}/errors.md",
    ]
    if facts.key is not None:
        lines += ["", f"Key {plain(facts.key.name)}:"]
        lines += [f"- {limit_words(limit)}" for limit in facts.key.limits]
        lines += [f"- {budget_words(budget)}" for budget in facts.key.budgets]
    if chat is not None:
        lines += ["", list(examples(facts))[1].codes[0].text]
    return "\n".join(lines) + "\n"
