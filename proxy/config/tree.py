"""The configuration as a tree of frozen structs, with every default.

`load` reads files and the environment, not this module. The doc comment (`#:`) of a field is its help text in the
reference; its range is in its type, for the loader, the JSON Schema and the reference.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Capability = Literal[
    "chat",
    "vision",
    "realtime",
    "embeddings",
    "audio",
    "image",
    "rerank",
    "moderation",
    "speech",
    "search",
    "ocr",
]
OnDisconnect = Literal["cancel", "drain"]
Translate = Literal["lenient", "strict", "off"]
Durability = Literal["process", "power"]
LogFormat = Literal["auto", "text", "json"]
Kind = Literal[
    "openai",
    "azure",
    "anthropic",
    "gemini",
    "openrouter",
    "groq",
    "mistral",
    "together",
    "fireworks",
    "deepseek",
    "xai",
    "perplexity",
    "cohere",
    "voyage",
    "jina",
    "vllm",
    "sglang",
    "ollama",
    "llamacpp",
    "compatible",
]
#: A way to choose between the targets of an alias (docs/routing.md).
Strategy = Literal["order", "weighted", "fastest", "least-busy", "cheapest"]
#: A family of request and response formats.
Format = Literal["openai", "anthropic", "gemini"]
Port = Annotated[int, Meta(ge=0, le=65_535)]
#: A number of at least 1.
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
#: A number that may be 0.
CountOrNone = Annotated[int, Meta(ge=0, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1, le=2**40)]
BytesOrNone = Annotated[int, Meta(ge=0, le=2**40)]
#: At most a day: a longer time is a mistake in the unit.
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
#: A time where 0 means never.
SecondsOrNone = Annotated[float, Meta(ge=0, le=86_400)]
Percent = Annotated[int, Meta(ge=0, le=100)]
#: A line of text for people.
Words = Annotated[str, Meta(max_length=300)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base class of all sections: immutable, and unknown keys are faults."""


class Server(Section, frozen=True):
    """`[server]`: the listener, its limits, and the data directory."""

    #: Address to listen on.
    host: str = "127.0.0.1"
    #: Port to listen on; 0 picks a free one, which the ready line names.
    port: Port = 8080
    #: Most requests under way at once, in each worker; more are refused with 503 (docs/overload.md).
    max_in_flight: Count = 10_000
    #: Most memory of each worker, in bytes: new work is refused from nine tenths of it on. Nine tenths of what the
    #: control group or the machine has, shared by the workers, where it is 0.
    max_memory_bytes: BytesOrNone = 0
    #: Most bytes of request bodies that are still arriving, or being inflated, of all clients of a worker together: one
    #: that passes it gets 503. A quarter of the memory where it is 0, and room for one largest body in any case
    #: (docs/overload.md).
    max_coming_bytes: BytesOrNone = 0
    #: The same for temporary files: uploads whose `purpose` or `model` has not arrived. A quarter of what is free at
    #: the start, shared by the workers, where it is 0.
    max_spool_bytes: BytesOrNone = 0
    #: Seconds by which the event loop may be late repeatedly before a part of the new requests is refused.
    max_loop_lag: Seconds = 0.25
    #: Worker processes; about one for each core. Above 1 a supervisor keeps them running (docs/shutdown.md).
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    #: Seconds without a heartbeat after which a worker is killed and replaced.
    worker_timeout: Seconds = 10.0
    #: Directory of the ledger, the journal and the keys.
    data_dir: str = "data"
    #: The gateway's own address as clients reach it, such as "https://ai.example.com", which the pages name. Left out,
    #: they name the one of the request.
    public_url: str = ""
    #: Name upstreams and their models in the X-Prism-Provider and X-Prism-Model-Used headers.
    expose_upstream: bool = False
    #: Prefix of new keys.
    key_prefix: str = "prom_sk_"
    #: Largest request body, in bytes; for a compressed one before and after it is inflated. Files and batches that are
    #: uploaded have a bound of their own.
    max_body_bytes: Bytes = 33_554_432
    #: Largest audio file of a form, in bytes; the other parts may add 1 MiB. All of it counts for max_body_bytes.
    max_audio_bytes: Bytes = 26_214_400
    #: Largest single event of an upstream's stream, in bytes; an image is one event, in base64.
    max_event_bytes: Bytes = 33_554_432
    #: Largest request head (request line and headers), in bytes.
    max_head_bytes: Bytes = 65_536
    #: Seconds in which a whole request head must arrive, counted from its first byte or from the connection's start.
    head_timeout: Seconds = 10.0
    #: Seconds a request body may pause.
    body_idle_timeout: Seconds = 20.0
    #: Seconds in which a whole request body must arrive; one of more than 32 MiB has them again for each 32 MiB.
    body_timeout: Seconds = 300.0
    #: Seconds an idle client connection is kept open for its next request.
    keep_alive_timeout: Seconds = 75.0
    #: Seconds for which a client may not read the response before it is disconnected.
    write_stall_timeout: Seconds = 30.0
    #: Seconds that a request may take in all: every attempt, and the response to its last byte.
    total_timeout: Seconds = 3600.0
    #: Seconds after which a client that waits for the next event of a stream is sent a comment (`: ping`), so that
    #: nothing between it and the gateway takes the connection for dead; 0 sends none. The first one decides the status:
    #: after it a failure is reported inside the stream.
    heartbeat_interval: SecondsOrNone = 0.0
    #: How many of all upstreams, in percent, may be ejected at once for their failures; one always may.
    max_ejection_percent: Percent = 10
    #: What happens upstream when the client disconnects: "cancel" closes it, "drain" reads on to the usage.
    on_disconnect: OnDisconnect = "cancel"
    #: Longest drain, in seconds.
    drain_max_seconds: Seconds = 30.0
    #: Longest drain, in output tokens (estimated while they pass).
    drain_max_tokens: Count = 4096
    #: Seconds that running responses get to end after SIGTERM.
    shutdown_timeout: Seconds = 30.0
    #: Seconds between SIGTERM and the close of the listener in which /readyz is 503 and connections are still accepted,
    #: so that load balancers can stop sending. Only if /readyz was probed within the last minute; 0 closes at once.
    drain_notice: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    #: "process": the journal outlives a killed process; "power": it is also synced to disk, in groups.
    durability: Durability = "process"
    #: Most bytes of bills that wait in a worker's journal while the database takes none; then new work is refused.
    #: A segment of the journal is a sixty-fourth of this.
    journal_max_bytes: Annotated[int, Meta(ge=1_048_576, le=1_099_511_627_776)] = 268_435_456
    #: Origins of the web pages whose scripts may call with a key that their user gives them, such as
    #: "https://app.example.com"; "*" is any, and none turns CORS off. Never with the browser's own credentials.
    cors_origins: list[str] = msgspec.field(default_factory=lambda: ["*"])
    #: The access line: "text", "json", or "auto" (text on a terminal, JSON elsewhere). Text is coloured on a terminal
    #: alone, unless the environment has NO_COLOR, or FORCE_COLOR.
    log_format: LogFormat = "auto"


class Upstream(Section, frozen=True):
    """`[upstreams.NAME]`: one account at one provider."""

    #: The provider or server: it decides how the credential is sent, and which formats it has (docs/upstreams.md).
    kind: Kind = "compatible"
    #: Address of the API, with its version prefix, such as https://api.openai.com/v1; that of the kind when left out.
    #: `{model}` in its path stands for the target's model.
    base_url: str = ""
    #: The families of formats that it has; those of the kind when left out. A request of each has the credential in the
    #: header that is usual for it: a bearer for "openai", x-api-key for "anthropic", x-goog-api-key for "gemini".
    formats: Annotated[list[Format], Meta(min_length=1)] | None = None
    #: The credential, by reference: "${NAME}" reads the environment, "file:PATH" a file.
    api_key: str = ""
    #: Several credentials, by reference as api_key and in place of it: each counts as a target of its own, which is
    #: chosen, cooled down and left out apart from the others (docs/routing.md).
    api_keys: list[str] = msgspec.field(default_factory=list)
    #: Further request headers for this upstream.
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    #: Further query parameters for this upstream, such as an api-version.
    query: dict[str, str] = msgspec.field(default_factory=dict)
    #: Whether stream_options may be added to streaming requests, so that usage is reported; as the kind says when left
    #: out.
    stream_options: bool | None = None
    #: Whether clients may name further models of this account, in fields such as models, fallbacks or tools; they are
    #: not checked against what a key may use, and billed at the alias's price (docs/upstreams.md).
    client_models: bool = False
    #: Most connections open at once.
    max_connections: Count = 1024
    #: Most requests that the upstream takes at once, in each worker; 0 is any number. Further ones go to other targets,
    #: wait where their alias has a queue, and are refused with 503 elsewhere (docs/queueing.md).
    max_requests: CountOrNone = 0
    #: Connections opened, with one GET each, when the gateway starts.
    warm_connections: CountOrNone = 1
    #: Most requests that may wait for a connection when all are taken.
    max_waiting: CountOrNone = 1024
    #: Seconds to open a connection, name lookup and TLS included.
    connect_timeout: Seconds = 5.0
    #: Seconds from the request to the first byte of the upstream's response.
    first_byte_timeout: Seconds = 300.0
    #: Seconds between two pieces of a response.
    idle_timeout: Seconds = 120.0
    #: Longest wait, in seconds, for which an upstream's `retry-after` (with 429, 503 or 529) is followed by a retry, if
    #: no other target is left. A longer one is passed on to the client; with 0 all are.
    retry_after_max: SecondsOrNone = 2.0
    #: Retries that may run on this upstream at once, in percent of the running requests; see retry_budget_min.
    retry_budget_percent: Percent = 20
    #: Retries that may run at once however few requests run.
    retry_budget_min: CountOrNone = 3
    #: Failures in a row after which the upstream is ejected, that is, used only if an alias has no other: responses of
    #: status 500 and above, and all that count for consecutive_gateway_failures. 0 is never.
    consecutive_5xx: CountOrNone = 5
    #: The same for failures of the connection and of gateways: no connection, no response in time, a malformed one, and
    #: 502, 503, 504 and 529. 0 is never.
    consecutive_gateway_failures: CountOrNone = 5
    #: Seconds of an ejection, times the number of ejections so far; then one request tries the upstream.
    base_ejection_time: Seconds = 30.0
    #: Longest ejection, in seconds.
    max_ejection_time: Seconds = 300.0
    #: Seconds between two such requests while none has an outcome; and seconds without failures that cancel one of the
    #: ejections so far.
    ejection_interval: Seconds = 10.0
    #: Seconds between two active probes, each a GET of its list of models by every worker; 0 is none. What requests say
    #: of it counts in any case.
    probe_interval: SecondsOrNone = 0.0
    #: Seconds an idle connection is kept for reuse.
    keep_alive_timeout: Seconds = 60.0
    #: File of further certificate authorities, in PEM form; relative to the configuration file.
    ca_file: str | None = None
    #: File with the client certificate for the upstream, in PEM form, and with its key where client_key is
    #: left out; relative to the configuration file.
    client_cert: str | None = None
    #: File with the key of client_cert, in PEM form, without a passphrase; relative to the configuration file.
    client_key: str | None = None
    #: Forward proxy through which the upstream is reached, as http://USER:PASSWORD@HOST:PORT, by reference as api_key;
    #: "env" is what HTTPS_PROXY or HTTP_PROXY, ALL_PROXY and NO_PROXY in the environment say; nothing else reads them.
    proxy: str = ""
    #: Unix socket at which the upstream listens: it is connected to in place of the host and port of base_url. Relative
    #: to the configuration file.
    socket: str | None = None

    @property
    def credentials(self) -> tuple[str, ...]:
        """Its keys, at least one; the only one is empty where there is none."""
        return tuple(self.api_keys) or (self.api_key,)

    def __repr__(self) -> str:
        """Name no secret: a repr ends in logs and tracebacks, and the credential and the headers are resolved here."""
        return f"Upstream(base_url={self.base_url!r}, …)"


class TierPrice(Section, frozen=True):
    """`price.tiers.NAME = { … }`: what one service tier of the provider costs, as in `price`."""

    #: Input tokens, per million.
    input: Decimal | None = None
    #: Output tokens, per million.
    output: Decimal | None = None
    #: Input tokens read from the provider's cache, per million; as `input` when not given.
    cached_input: Decimal | None = None
    #: Input tokens written to the provider's cache, per million; as `input` when not given.
    cache_write: Decimal | None = None
    #: Input tokens written to a cache that lasts an hour, per million. Nothing stands in for it: without it a request
    #: that has such tokens is unpriced.
    cache_write_1h: Decimal | None = None
    #: Audio tokens in the input, per million; as `input` for the capability audio, else nothing stands in for it.
    audio_input: Decimal | None = None
    #: Audio tokens in the output, per million; as `output` for the capability speech, else nothing stands in for it.
    audio_output: Decimal | None = None
    #: Image tokens in the input, per million; as `input` when not given.
    image_input: Decimal | None = None
    #: Image tokens in the output, per million; as `output` for the capability image, else nothing stands in for it.
    image_output: Decimal | None = None


class Price(TierPrice, frozen=True):
    """`price = { … }`: USD, as exact decimals in quotes. Per million tokens where nothing else is said."""

    #: Audio, per minute of source.
    minute: Decimal | None = None
    #: Images, each.
    image: Decimal | None = None
    #: Searches that the provider makes for a response, per thousand. Nothing stands in for it.
    web_search: Decimal | None = None
    #: Search units of a reranker, per thousand.
    search_unit: Decimal | None = None
    #: Calls of the provider's other tools, such as its code execution, per thousand. Nothing stands in for it.
    tool_call: Decimal | None = None
    #: Input tokens of an advisor model that the provider calls, per million. Nothing stands in for it.
    advisor_input: Decimal | None = None
    #: Its output tokens, per million.
    advisor_output: Decimal | None = None
    #: Prices of the provider's service tiers, such as priority, flex and batch, by their name in responses, in lower
    #: case; Anthropic's fast responses are of the tier fast, and those of inference in one country of us, or fast-us. A
    #: response of a tier without a price is unpriced.
    tiers: dict[str, TierPrice] | None = None


class Limits(Section, frozen=True):
    """`[limits.default]`, `[limits.global]`, and the limits of an alias, a key or a team: how much may be used.

    `default` is for each key that has no limits of its own, `global` for all together (docs/limits.md); what is left
    out has no limit. A rate is a number and a period, such as "600/min"; the periods are s, min, h and d, and several
    rates are separated by commas: "20/s, 600/min". So many may come at once; "600/min burst 50" lets 50 come at once.
    """

    #: Requests.
    requests: str = ""
    #: Input and output tokens together.
    tokens: str = ""
    #: Input tokens.
    input_tokens: str = ""
    #: Output tokens.
    output_tokens: str = ""
    #: Minutes of source audio.
    audio_minutes: str = ""
    #: Requests that run at once; 0 is any number.
    concurrent: CountOrNone = 0
    #: Further limits for single aliases, by name.
    models: dict[str, "Limits"] = msgspec.field(default_factory=dict)


class Budget(Section, frozen=True):
    """`[budgets.NAME]`, and the budgets of a key, a team or an organisation: how much may be spent in a window of time.

    The file's own name whom they are for; without any of those three it is for everything that the gateway serves.
    """

    #: USD, as an exact decimal in quotes.
    limit: Decimal
    #: day, week (`week:sun` begins on Sundays), month (`month:15` on the 15th), year, or total.
    window: str = "month"
    #: The IANA time zone in which a window begins.
    zone: str = "UTC"
    #: Percentages at which a warning is given.
    warn: list[Percent] = msgspec.field(default_factory=lambda: [50, 80, 100])
    #: "refuse" when the worst case of a request is more than what is left; "soft_cap" serves it while anything is left;
    #: "stop_stream" ends a running stream once the money is spent; "warn" refuses nothing.
    on_exceed: Literal["refuse", "soft_cap", "stop_stream", "warn"] = "refuse"
    #: Aliases that it counts; all of them when left out.
    models: list[str] = msgspec.field(default_factory=list)
    #: What happens to an alias without a price.
    unpriced: Literal["refuse", "allow"] = "refuse"
    #: Output tokens that are reserved for a request without a cap of its own (max_tokens); what nine of ten responses
    #: of the alias have stayed under when left out.
    output_tokens: Count | None = None
    #: Names of the keys that it is for, in the file only: one pot for all that the three lists name.
    keys: list[str] = msgspec.field(default_factory=list)
    #: Names of the teams that it is for.
    teams: list[str] = msgspec.field(default_factory=list)
    #: Names of the organisations that it is for.
    orgs: list[str] = msgspec.field(default_factory=list)


class Fallbacks(Section, frozen=True):
    """`fallbacks = { … }`: aliases that serve a request in place of this one, by why this one could not.

    A key gets those that it may use itself; the row names the alias that served, and is priced by it.
    """

    #: The request is longer than the model's context window.
    context_window: list[str] = msgspec.field(default_factory=list)
    #: The provider refuses what the request is about, before any content.
    content_policy: list[str] = msgspec.field(default_factory=list)
    #: All targets are at their rate limits (429).
    rate_limit: list[str] = msgspec.field(default_factory=list)


class Hedge(Section, frozen=True):
    """`hedge = { … }`: a second attempt, at another target, where the first content is late (docs/hedging.md)."""

    #: Most requests, in percent, that may have a second attempt.
    max_percent: Annotated[int, Meta(ge=1, le=100)] = 8
    #: The least seconds without content before it: it begins after these or after the time in which nine of ten recent
    #: requests had their first content, whichever is longer.
    floor: Seconds = 0.3
    #: Whether it may go to a target that costs another amount than the first one.
    across_prices: bool = False
    #: Whether the row of the attempt that lost is on the bill of the request's key; else it is the operator's.
    bill: bool = False


class Queue(Section, frozen=True):
    """`queue = { … }`: requests wait for room at a target, in place of a refusal (docs/queueing.md)."""

    #: Longest wait, in seconds.
    max_wait: Seconds = 2.0
    #: Most requests of the alias that may wait at once, in each worker.
    max_waiting: Count = 100
    #: Which of them goes first, by the name of their key or "tag:NAME" of one of its tags: from 9, the first, to 0, the
    #: last; 5 is that of all others. The key's own wins over its tags, and the highest of these counts.
    priorities: dict[str, Annotated[int, Meta(ge=0, le=9)]] = msgspec.field(default_factory=dict)


class Routing(Section, frozen=True):
    """`[models.ALIAS.routing]`: which target is tried first, and what stands in for the alias (docs/routing.md)."""

    #: "order" is that of targets; "weighted" shares requests by weights; "fastest" and "least-busy" go by what is
    #: measured, "cheapest" by what the request is likely to cost.
    strategy: Strategy = "order"
    #: Shares for "weighted", by "upstream/model"; 1 where one is left out, and 0 sends it no new requests.
    weights: dict[str, CountOrNone] = msgspec.field(default_factory=dict)
    #: "session" keeps the requests of a session on one target, "prefix" those of a conversation too, so that the
    #: provider's prompt cache is hit; "off" neither.
    sticky: Literal["off", "session", "prefix"] = "off"
    #: Other aliases, by the cause for which this one could not serve a request.
    fallbacks: Fallbacks = msgspec.field(default_factory=Fallbacks)
    #: A second attempt where the first content is late; none without it.
    hedge: Hedge | None = None
    #: What waits for room at a target; without it nothing does.
    queue: Queue | None = None


class Model(Section, frozen=True):
    """`[models.ALIAS]`: a stable name, what it can do, who serves it and what it costs."""

    #: What the alias can do; it decides which endpoints accept it. `realtime` is chat over HTTP by a fast model: there
    #: is no Realtime API (WebSocket, `/v1/realtime`).
    capability: Capability
    #: "upstream/model", in the order in which they are tried.
    targets: Annotated[list[str], Meta(min_length=1)]
    #: What it costs; without one the rows say so (unpriced), they do not say 0.
    price: Price | None = None
    #: What each target costs the operator, by "upstream/model", as in `price`. Clients do not see it.
    costs: dict[str, Price] = msgspec.field(default_factory=dict)
    #: Overrides server.on_disconnect.
    on_disconnect: OnDisconnect | None = None
    #: Overrides first_byte_timeout of its upstreams.
    first_byte_timeout: Seconds | None = None
    #: Overrides idle_timeout of its upstreams.
    idle_timeout: Seconds | None = None
    #: Overrides server.total_timeout.
    total_timeout: Seconds | None = None
    #: Overrides server.heartbeat_interval.
    heartbeat_interval: SecondsOrNone | None = None
    #: Limits of the alias, for all keys together.
    limits: Limits | None = None
    #: How a target is chosen; without it they are tried in their order.
    routing: Routing | None = None
    #: Whether requests in a format that its targets do not have are translated: "lenient" leaves out, and tells, what
    #: cannot be said in full in theirs, "strict" refuses it, "off" translates nothing (docs/translation.md).
    translate: Translate = "lenient"
    #: Translated requests: whether the model thinks, and takes how much it is to think.
    reasoning: bool = False
    #: Translated requests: output tokens where the client sets no bound and the target needs one; 0 is 4,096.
    max_output_tokens: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    #: What the docs page calls it, such as "Deep reasoning"; by its capability when left out (docs/pages.md).
    title: Words = ""
    #: When to use it, for the docs page, such as "Planning, code, analysis, hard decisions."
    use: Words = ""
    #: The same for agents, in `/agent-spec.md`; as `use` when left out.
    summary: Words = ""


class Metrics(Section, frozen=True):
    """`[metrics]`: what is counted for Prometheus (docs/metrics.md)."""

    #: Whether requests are counted.
    enabled: bool = True
    #: Whether requests, tokens and cost are counted by key too, for at most 1,000 keys; those beyond are `other`.
    by_key: bool = False


class Admin(Section, frozen=True):
    """`[admin]`: the admin API below `/-/` and `/admin/`, and its token (docs/admin.md)."""

    #: Whether there is an admin API.
    enabled: bool = True
    #: An address of its own, as HOST:PORT, [HOST]:PORT or unix:PATH; clients' address has no admin API then. Left out,
    #: it is at the address of `[server]`.
    listen: str = ""
    #: The admin token, by reference as api_key, of at least 32 characters. Left out, one is made at the first start and
    #: kept in `admin.token` in the data directory: `prometheus-gateway admin token` says where.
    token: str = ""
    #: Networks from which it may be called, such as "10.0.0.0/8"; all of them when left out. A Unix socket has no
    #: network. Behind a proxy the network is the proxy's.
    networks: list[str] = msgspec.field(default_factory=list)
    #: Serve `/metrics` and `/-/metrics` without the token; upstreams are then named t1, t2, … there.
    open_metrics: bool = False

    def __repr__(self) -> str:
        """Name no secret: the token is resolved here."""
        return f"Admin(enabled={self.enabled}, listen={self.listen!r}, …)"


class Pages(Section, frozen=True):
    """`[pages]`: what the gateway shows to browsers (docs/pages.md)."""

    #: Whether there is the page of documentation at `/`, with its twins for agents, and the OpenAPI documents.
    docs: bool = True
    #: Whether there is the dashboard at `/dashboard`.
    dashboard: bool = True
    #: Seconds after which a session of the dashboard ends that nothing was done in.
    session_idle: Seconds = 1_800.0
    #: Seconds after which a session ends in any case.
    session_max: Seconds = 43_200.0


class Otel(Section, frozen=True):
    """`[otel]`: a span for each request, sent by OTLP over HTTP; needs the extra `prometheus-gateway[otel]`."""

    #: Address that takes traces, such as http://127.0.0.1:4318/v1/traces; nothing is traced when it is empty.
    endpoint: str = ""
    #: Further headers for it, such as a credential by reference.
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    #: What the gateway is called in traces.
    service_name: str = "prometheus-gateway"
    #: Percentage of the requests that are traced, where the client does not say by its traceparent.
    sample: Percent = 100
    #: Most spans that wait to be sent; more are dropped, and counted.
    max_waiting: Annotated[int, Meta(ge=1, le=1_000_000)] = 8_192


class Webhooks(Section, frozen=True):
    """`[webhooks]`: where events are posted to, such as the warning that a budget is nearly spent (docs/budgets.md)."""

    #: Address that takes the events.
    url: str
    #: Signs each event by the rules of Standard Webhooks, by reference as api_key; one that begins with whsec_ is in
    #: base64.
    secret: str = ""
    #: Whether the address may be this machine, or one in a private network.
    allow_private: bool = False

    def __repr__(self) -> str:
        """Name no secret."""
        return "Webhooks(…)"


class Config(Section, frozen=True):
    """The whole file."""

    server: Server = msgspec.field(default_factory=Server)
    upstreams: dict[str, Upstream] = msgspec.field(default_factory=dict)
    models: dict[str, Model] = msgspec.field(default_factory=dict)
    #: "default" is for each key that has none of its own, "global" for all requests together.
    limits: dict[Literal["default", "global"], Limits] = msgspec.field(default_factory=dict)
    budgets: dict[str, Budget] = msgspec.field(default_factory=dict)
    metrics: Metrics = msgspec.field(default_factory=Metrics)
    admin: Admin = msgspec.field(default_factory=Admin)
    pages: Pages = msgspec.field(default_factory=Pages)
    otel: Otel = msgspec.field(default_factory=Otel)
    webhooks: Webhooks | None = None


def split_target(target: str) -> tuple[str, str]:
    """Split "upstream/model" at its first slash; a model name may hold further ones."""
    upstream, _, model = target.partition("/")
    return upstream, model
