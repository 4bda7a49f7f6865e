"""The page of the admin API, in Markdown: its rows from the table, and its examples from a gateway that runs.

Every request of the page is sent, and what is printed below it is the response, but for ids, times and secrets, which
differ from run to run.
"""

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, get_args

import httpx
import msgspec
from msgspec import inspect

from proxy.admin.openapi import TITLES
from proxy.admin.request import MAX_BODY_BYTES, Row
from proxy.admin.table import ROWS
from proxy.config.descriptions import describe
from proxy.config.schema import help_texts
from tests.admin.conftest import admin_config, administered
from tests.exchange.samples import JSON_ANSWER
from tests.fakes import RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.serving import ALIAS, RunningGateway

_OPENING: Final = """\
# The admin API

Everything that an operator does by commands, over HTTP: keys and credits, teams, organisations, usage, the audit table,
reloads, the rotation of providers' keys. This page is made from the table of routes (`proxy/admin/table.py`); its
requests are sent to a running gateway by a test, and what stands below each is the response. `GET /-/openapi.json` has
the same table as an OpenAPI 3.1 document, with the schemas of requests and responses, for generators of clients.

## The token

The admin API has a token of its own. It is made at the first start, of 256 random bits, in `admin.token` in the data
directory, for its owner alone (0600); or it is `token` in `[admin]` of the configuration, by reference.

```console
$ prometheus-gateway admin token            # where it is
$ prometheus-gateway admin token --show     # what it is
$ prometheus-gateway admin token --rotate   # another one; the one before is refused from the next request on
$ TOKEN=$(prometheus-gateway admin token --show)
$ curl -s http://127.0.0.1:8080/-/config -H "Authorization: Bearer $TOKEN"
$ curl -s http://127.0.0.1:8080/-/keys -H "X-API-Key: $TOKEN" -d '{"name": "web", "models": ["prometheus-core"]}'
```

- It is taken as `Authorization: Bearer …` and as `X-API-Key`, and compared in constant time.
- A client key is refused with 403 and says what to send; everything else that is not the token is a 401. Without it a
  path that no row has looks like one that has a row.
- Wrong tokens are logged, one line a second at most, without what was sent; beyond twenty a second in a worker they are
  refused with 429, and the right one never is.
- Pages of other origins get no headers of CORS, whatever `server.cors_origins` says.

## Where it is served

At the address of `[server]`, below `/-/` and `/admin/`. With `listen` in `[admin]` it has an address of its own, a
port or a Unix socket, which all workers share; then the server's address has none of it. `networks` are the only ones
from which it may be called. `enabled = false` switches it off. All settings are in
[configuration.md](configuration.md).

```toml
[admin]
listen = "unix:/run/prometheus-gateway/admin.sock"
token = "${ADMIN_TOKEN}"
```

With `open_metrics = true`, `/metrics` and `/-/metrics` need no token, and upstreams are t1, t2, … there.

## What holds for all routes

- Bodies are JSON of at most 1 MiB (16 MiB for documents in bulk), not compressed, with 64 levels at most.
  Unknown fields and unknown query
  parameters are a 400 that names them.
- Errors have OpenAI's envelope, with `request_id` and `timestamp` beside it; [errors.md](errors.md) lists the codes.
- Money is USD as an exact decimal in quotes, times are ISO 8601 in UTC, versions are numbers.
- An object is named by its id or its name. What has a version has it as `ETag`; `If-Match: "3"` refuses (412) a change
  for another version, `If-None-Match: *` one of what is there already.
- `PUT` makes an object be as the body says, with defaults for what is left out, and creates it under a name that is
  new: sent twice it does the same as once, so that another name in its body is a 400. `PATCH` changes what the body
  has, the name too.
- Lists are pages: `limit`, and `after` with the `last_id` of the page before, while `has_more`.
- What the configuration file names wins: a change of a budget that it sets is a 409.
- Each change is a row of the audit table, in the same transaction, with `admin:` and the beginning of the token's
  digest as its actor.
- A change is in force in all workers: keys within a second, reloads and promoted keys when the response is there.

{promises}

Not promised: several machines have each their own admin API over their own data directory; the list of nodes is that of
this machine. There are no roles: who has the token may do everything.

"""

#: What is promised, and the tests that show it.
_PROMISES: Final = (
    (
        "Every route refuses no credential, client keys, revoked keys, wrong methods, bad and long "
        "bodies; a new row without a decision fails",
        ("tests/admin/test_table.py",),
    ),
    (
        "The token is made once, for its owner, and never logged",
        (
            "tests/admin/test_token.py",
            "tests/cli/test_admin.py",
        ),
    ),
    (
        "A reload and a promoted key reach all workers, and outlive a restart",
        (
            "tests/admin/routes/test_operations.py",
            "tests/admin/routes/test_rotation.py",
        ),
    ),
    (
        "A masked secret that is sent back stays as it is, and no response and no audit row has one",
        ("tests/admin/routes/test_org_configs.py",),
    ),
    (
        "Every response that the examples below get, and every refusal, is what `/-/openapi.json` says",
        ("tests/admin/test_openapi.py",),
    ),
    (
        "An address of its own serves the admin API and nothing else",
        ("tests/admin/test_api.py",),
    ),
)


CONFIG_NOTE: Final = """\
The document is kept and returned as it was given. `rate_limiting.global_rpm` and `global_tpm` become the organisation's
limits, `budgets.org_limit` with its period, threshold and `hard_limit` its budget; all else is inert, and named in the
response. Secrets (fields whose names have key, secret, token, password, credential or authorization in them) are masked
with their first eight and last four characters; a masked one that is sent back stays as it is, and one that fits no
stored secret is a 400.

"""
ROTATION_NOTE: Final = """\
A rotation goes `idle` → `pending` (rotate) → `draining` (promote) → `idle`, 30 seconds later. The new key is tried
first, by a list of the upstream's models: refused with 401 or 403 it is not kept. A promoted key is used for new
attempts in all workers, and running streams end with the key that they began with. Where the provider refuses it (401,
403) within the 30 seconds, the key before is put in force again by itself, which `note` says. The promoted key is kept
in `provider-keys.json` in the data directory, for its owner alone; `config show` names it, and another value in the
configuration file ends it. A step that does not fit the state is a 409. Of an upstream with several keys (`api_keys`)
one is changed in the configuration file, and by a reload.

"""


class Example(NamedTuple):
    """One request of the page."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})


DOCUMENT: Final = {
    "providers": {"vendor1": {"api_key": "sk-of-the-organisation", "models": ["gpt-5"]}},
    "rate_limiting": {"enabled": True, "global_rpm": 600},
    "budgets": {"enabled": True, "org_limit": "1000.00", "org_period": "monthly"},
}
#: In the order in which they are sent; the first of each row is printed.
EXAMPLES: Final = (
    Example("POST", "/-/orgs", {"name": "acme"}),
    Example("GET", "/-/orgs"),
    Example("GET", "/-/orgs/acme"),
    Example("PUT", "/-/orgs/acme", {"budgets": [{"limit": "1000.00", "window": "month"}]}),
    Example("PATCH", "/-/orgs/acme", {"limits": {"requests": "1000/min"}}, {"If-Match": '"2"'}),
    Example("PUT", "/-/orgs/acme/config", DOCUMENT),
    Example("GET", "/-/orgs/acme/config"),
    Example("GET", "/-/orgs/configs"),
    Example("POST", "/-/orgs/configs/bulk", {"acme": {"cache": {"enabled": False}}}),
    Example("DELETE", "/-/orgs/acme/config"),
    # Before there is any traffic, whose times differ.
    Example("GET", "/stats?since=7d"),
    Example("GET", "/-/health/providers"),
    Example("GET", "/-/health/providers/acme"),
    Example("POST", "/-/teams", {"name": "web", "org": "acme"}),
    Example("GET", "/-/teams?org=acme"),
    Example("GET", "/-/teams/web"),
    Example("PUT", "/-/teams/web", {"org": "acme", "budgets": [{"limit": "200.00", "window": "week"}]}),
    Example("PATCH", "/-/teams/web", {"limits": {"concurrent": 20}}),
    Example("POST", "/-/keys", {"name": "shop", "models": [ALIAS], "team": "web", "tags": ["eu"]}),
    Example("GET", "/-/keys?team=web&limit=10"),
    Example("GET", "/-/keys/shop"),
    Example("PUT", "/-/keys/shop", {"models": [ALIAS], "team": "web", "limits": {"requests": "60/min"}}),
    Example("PATCH", "/-/keys/shop", {"tags": ["eu", "prod"]}, {"If-Match": '"2"'}),
    Example("POST", "/-/keys/shop/rotate", {"grace_seconds": 3600}),
    Example("POST", "/-/keys/shop/credits", {"amount": "25.00", "note": "invoice 7"}, {"Idempotency-Key": "payment-7"}),
    Example("GET", "/-/keys/shop/credits"),
    Example("GET", "/-/usage?by=key&since=24h"),
    Example("DELETE", "/-/keys/shop"),
    Example("DELETE", "/-/teams/web"),
    Example("DELETE", "/-/orgs/acme"),
    Example("PUT", "/-/orgs/acme/config", DOCUMENT),
    Example("GET", "/-/audit?action=key.revoke&limit=1"),
    Example("POST", "/-/admin/providers/vendor1/rotate", {"new_key": "sk-the-new-key-0042"}),
    Example("GET", "/-/admin/providers/vendor1/rotation"),
    Example("POST", "/-/admin/providers/vendor1/rotate/promote"),
    Example("POST", "/-/admin/providers/vendor1/rotate/rollback"),
    Example("GET", "/-/openapi.json"),
    Example("GET", "/-/config"),
    Example("POST", "/-/reload"),
    Example("POST", "/admin/reload-config"),
    Example("GET", "/-/cluster/nodes"),
    Example("GET", "/stats?since=24h"),
    Example("GET", "/-/health/providers"),
    Example("GET", "/-/health/providers/acme"),
    Example("GET", "/-/metrics"),
    Example("GET", "/metrics"),
    Example("GET", "/admin/cache/stats"),
    Example("POST", "/admin/cache/clear", {"cache_type": "all"}),
)

#: What differs from run to run, and what stands for it.
_VOLATILE: Final = (
    (re.compile(r"prom_sk_[A-Za-z0-9]{40}"), "prom_sk_…"),
    (re.compile(r'"hint": "[A-Za-z0-9]{4}"'), '"hint": "x7Qa"'),
    (re.compile(r"\b(key|team|org|credit)_[0-9a-f]{12}\b"), r"\1_3f9c2b7a10de"),
    (re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "2026-12-01T12:00:00Z"),
    (re.compile(r": 1[789]\d{8}\b"), ": 1796126400"),
    (re.compile(r'"pid": \d+'), '"pid": 4242'),
    (re.compile(r'"(id|node_id)": "[^"]+-[0-9a-f]{8}"'), r'"\1": "gateway-1-8d51f2c0"'),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://127.0.0.1:8080"),
    (re.compile(r'"(mean|p50|p95|p99)": \d+'), r'"\1": 1000'),
    (re.compile(r'"version": "[^"]+"'), '"version": "1.0.0"'),
    (re.compile(r"req_[0-9a-f]{32}"), "req_018e…"),
    (re.compile(r'"(avg_latency|latency_ewma_ms)": [0-9.]+'), r'"\1": 0.4'),
    (re.compile(r"\(\*\*\*\*[A-Za-z0-9]{4}\)"), "(****x7Qa)"),
)


class Recorded(NamedTuple):
    """A request of the page, and its response."""

    example: Example
    status: int
    text: str


def recorded() -> dict[tuple[str, str], Recorded]:
    """Send all examples, and keep the first of each row."""
    found: dict[tuple[str, str], Recorded] = {}
    for example, row, response in responses():
        found.setdefault((row.method, row.path), Recorded(example, response.status_code, _body_of(response)))
    return found


def responses() -> Iterator[tuple[Example, Row, httpx.Response]]:
    """Send all examples to a gateway, with what happens between them; their rows, and the responses as they are."""

    def respond(request: RecordedRequest) -> list[Step]:
        return json_answer({"data": []} if request.method == "GET" else JSON_ANSWER)

    with tempfile.TemporaryDirectory() as folder, ScriptedUpstream(respond) as upstream:
        config = admin_config(Path(folder), upstream.base_url)
        with administered(config) as (gateway, client):
            gateway.call(lambda inner: inner.admin.services.nodes.register(gateway.url))
            reload = _reload_of(gateway)
            for example in EXAMPLES:
                row = row_of(example)
                if row.path.endswith("/rotate") and row.path.startswith("/-/keys"):
                    _spend(gateway, client)
                if row.handler.__name__ == "reload":
                    gateway.call(reload)
                body = None if example.body is None else json.dumps(example.body).encode()
                response = client.request(example.method, example.path, content=body, headers=example.headers)
                assert response.status_code in row.statuses, f"{example}: {response.text}"
                yield example, row, response


def _reload_of(gateway: RunningGateway) -> Callable[[Any], None]:
    """A process that has reloaded its file: this gateway has none."""
    result = {
        "ok": True,
        "file": "prometheus.toml",
        "problems": [],
        "warnings": [],
        "changes": {"added": ["models.fast"], "removed": [], "changed": ["upstreams.openai"], "needs_restart": []},
    }

    async def reload() -> dict[str, Any]:
        return result

    def replace(inner: Any) -> None:
        inner.admin.services.control.reload = reload

    return replace


def _spend(gateway: RunningGateway, client: httpx.Client) -> None:
    """One request by the page's key, so that the report of usage has a line."""
    secret = client.post("/-/keys/shop/rotate", json={"grace_seconds": 0}).json()["key"]
    body = {"model": ALIAS, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {secret}"}
    assert httpx.post(f"{gateway.base_url}/chat/completions", json=body, headers=headers).status_code == 200
    gateway.rows()


def _body_of(response: httpx.Response) -> str:
    if not response.headers["content-type"].startswith("application/json"):
        lines = [line for line in response.text.splitlines() if "build_info" in line]
        return "\n".join([*(re.sub(r'="[^"]*"', '="…"', line) for line in lines), "…"])
    value = response.json()
    if "server" in value:
        # Every setting, which is in another document.
        value["server"] = {"port": 8080, "…": "…"}
    if "openapi" in value:
        value["paths"] = {"/-/keys": {"…": "…"}, "…": "…"}
        value["components"] = {"…": "…"}
    text = _json(value)
    for pattern, stands in _VOLATILE:
        text = pattern.sub(stands, text)
    return text


def _json(value: Any, indent: str = "") -> str:
    """JSON, on one line where that is short, else a line for each member."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= 110 or not isinstance(value, dict | list):
        return line
    inner = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _json(one, inner) for one in value) + f"\n{indent}]"
    members = [f"{inner}{json.dumps(name)}: {_json(one, inner)}" for name, one in value.items()]
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


def row_of(example: Example) -> Row:
    """The row that serves an example."""
    path = example.path.partition("?")[0].encode()
    rows = [row for row in ROWS if row.method == example.method and row.pattern.fullmatch(path)]
    return min(rows, key=lambda row: row.path.count("{"))


def document() -> str:
    """The whole page."""
    examples = recorded()
    opening = _OPENING.replace("{promises}", _promises()).rstrip("\n")
    lines = [opening, "", "## All routes", "", "| route | what it does |", "|---|---|"]
    lines += [f"| `{row.method} {row.path}` | {row.help} |" for row in ROWS]
    left = list(ROWS)
    for title, prefixes in TITLES:
        rows = [row for row in left if row.path.startswith(prefixes)]
        left = [row for row in left if row not in rows]
        lines += ["", f"## {title}", ""]
        lines += [ROTATION_NOTE.rstrip("\n"), ""] if title == "Providers' keys" else []
        for row in rows:
            lines += _section(row, examples[row.method, row.path])
    return "\n".join(lines).rstrip("\n") + "\n"


def _promises() -> str:
    rows = [f"| {promise} | {', '.join(f'`{test}`' for test in tests)} |" for promise, tests in _PROMISES]
    return "\n".join(["| promise | shown by |", "|---|---|", *rows])


def _section(row: Row, recorded: Recorded) -> Iterator[str]:
    yield f"### `{row.method} {row.path}`"
    yield ""
    yield row.help
    if row.access == "open_metrics":
        yield "Needs no token where `admin.open_metrics` is set."
    if row.max_body_bytes != MAX_BODY_BYTES:
        yield f"The body may have {row.max_body_bytes // 2**20} MiB."
    yield ""
    if row.path == "/-/orgs/{org_id}/config" and row.method == "PUT":
        yield CONFIG_NOTE
    for name, text in row.headers.items():
        yield f"- `{name}`: {text}"
    if row.headers:
        yield ""
    if row.query.__struct_fields__:
        yield from _fields("query parameter", row.query)
    if isinstance(row.body, type) and issubclass(row.body, msgspec.Struct):
        yield from _fields("field of the body", row.body)
    example = recorded.example
    yield "```http"
    yield f"{example.method} {example.path}"
    yield from (f"{name}: {value}" for name, value in example.headers.items())
    if example.body is not None:
        yield ""
        yield _json(example.body)
    yield "```"
    yield ""
    yield f"`{recorded.status}`"
    yield ""
    yield "```json" if row.response is not None else "```text"
    yield recorded.text
    yield "```"
    yield ""


def _fields(what: str, struct: type[msgspec.Struct]) -> Iterator[str]:
    texts = help_texts(struct)
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    yield f"| {what} | holds | |"
    yield "|---|---|---|"
    for field in info.fields:
        text = texts.get(field.name, "") + (" Required." if field.required else "")
        yield f"| `{field.encode_name}` | {_kind(field.type)} | {text.strip()} |"
    yield ""


def _kind(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.UnionType):
        kinds = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        return " or ".join(dict.fromkeys(_kind(one) for one in kinds if type(one).__name__ != "UnsetType"))
    if isinstance(kind, inspect.DateTimeType):
        return "a time, ISO 8601"
    if isinstance(kind, inspect.VarTupleType | inspect.CollectionType):
        return f"several of: {_kind(kind.item_type)}"
    if isinstance(kind, inspect.StructType):
        return f"a table as in `[{kind.cls.__name__.lower()}]`" if get_args(kind.cls) else "a table"
    if isinstance(kind, inspect.AnyType | inspect.RawType):
        return "anything"
    return describe(kind)


if __name__ == "__main__":
    sys.stdout.write(document())
