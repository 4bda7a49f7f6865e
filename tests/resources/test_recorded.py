"""Recorded exchanges with OpenAI's own API, replayed through the gateway, by keys that own what the recordings name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy.ledger.record import BATCH_INPUT
from proxy.policies.references import NAMES
from proxy.resources.spec import ResourceRow
from proxy.resources.table import RESOURCE_ROWS
from tests.corpus import Exchange, exchanges, with_model
from tests.fakes import RawClient, ScriptedUpstream, json_answer, sse_answer
from tests.resources.samples import ALIAS, KEY, OTHER, gateway_over, record_owner
from tests.serving import RunningGateway

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
)
_TEMPLATES = [
    (row, re.compile(re.sub(r"\\\{\w+\\\}", "([A-Za-z0-9_-]+)", re.escape(row.path)))) for row in RESOURCE_ROWS
]


def row_of(exchange: Exchange) -> ResourceRow | None:
    """The row that a recording is of."""
    for row, pattern in _TEMPLATES:
        if row.method == exchange.method and pattern.fullmatch(exchange.path):
            return row
    return None


def ids_in(exchange: Exchange, row: ResourceRow) -> set[str]:
    """The ids that a request names."""
    pattern = dict(_TEMPLATES_BY_PATH)[row.path]
    match = pattern.fullmatch(exchange.path)
    assert match is not None
    return set(match.groups()) | set(_named(exchange.request_json))


def _named(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in NAMES:
                yield from [inner] if isinstance(inner, str) else [one for one in inner or [] if isinstance(one, str)]
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)


_TEMPLATES_BY_PATH = tuple((row.path, pattern) for row, pattern in _TEMPLATES)


def recordings() -> list[tuple[Exchange, ResourceRow]]:
    """All that fit a row, each endpoint's answers once; the project's own re-recordings repeat each."""
    found: dict[tuple[str, str, bytes], tuple[Exchange, ResourceRow]] = {}
    for exchange in exchanges(host="api.openai.com"):
        row = row_of(exchange)
        if row is not None and exchange.status == 200:
            found.setdefault((exchange.method, exchange.path, exchange.response), (exchange, row))
    return list(found.values())


def request_of(exchange: Exchange, row: ResourceRow) -> bytes:
    """The request under the alias; forms were not recorded."""
    if row.body in ("form", "file"):
        return FORM
    return with_model(exchange.request, ALIAS) if exchange.request.startswith(b"{") else exchange.request


def play(client: RawClient, exchange: Exchange, row: ResourceRow, key: str) -> tuple[int, bytes]:
    parts = urlsplit(exchange.url)
    headers = {"authorization": f"Bearer {key}"}
    kind = exchange.request_headers.get("content-type")
    if row.body in ("form", "file"):
        headers["content-type"] = "multipart/form-data; boundary=b"
    elif kind or exchange.request:
        headers["content-type"] = kind or "application/json"
    client.request(
        exchange.method, parts.path + (f"?{parts.query}" if parts.query else ""), request_of(exchange, row), headers
    )
    head, body = client.read_answer()
    return head.status, body.payload


def script(upstream: ScriptedUpstream, exchange: Exchange) -> None:
    kind = {"content-type": exchange.headers.get("content-type", "application/json")}
    if exchange.is_stream:
        upstream.script(sse_answer(exchange.response, 1000, headers=kind))
    else:
        upstream.script(json_answer(exchange.response, exchange.status, headers=kind))


def models_in(data: bytes, *, stream: bool) -> set[str]:
    """The models that objects in an answer have: at the top, in lists, and in a response's events."""
    found: set[str] = set()
    texts = re.findall(rb"^data: ?(\{.*)$", data, re.MULTILINE) if stream else [data]
    for text in texts:
        value = json.loads(text)
        objects = [value, value.get("response"), *(value["data"] if isinstance(value.get("data"), list) else [])]
        found |= {one["model"] for one in objects if isinstance(one, dict) and isinstance(one.get("model"), str)}
    return found


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[ScriptedUpstream, RunningGateway]]:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as running:
        running.add_key("other", OTHER)
        yield upstream, running


def test_recorded_answers_reach_their_owner_as_they_are_but_for_the_model(
    gateway: tuple[ScriptedUpstream, RunningGateway],
) -> None:
    upstream, running = gateway
    seen = set()
    # What a list may ask for after the page that was recorded.
    upstream.handler = lambda request: json_answer({"object": "list", "data": [], "has_more": False})
    for exchange, row in recordings():
        for id_ in ids_in(exchange, row):
            alias = "" if row.creates and row.model == "none" and not row.takes_batches else ALIAS
            record_owner(running, id_, BATCH_INPUT if row.takes_batches else "file", alias=alias)
        if row.lists:
            for one in json.loads(exchange.response)["data"]:
                record_owner(running, one["id"], row.lists, alias=ALIAS)
        script(upstream, exchange)
        with running.client() as client:
            status, payload = play(client, exchange, row, KEY)
        assert status == 200, (exchange.id, payload[:300])
        seen.add((row.method, row.path))
        assert models_in(payload, stream=exchange.is_stream) <= {ALIAS}, exchange.id
        if exchange.is_stream:
            assert payload.count(b"\n\n") == exchange.response.count(b"\n\n"), exchange.id
        else:
            assert without_models(json.loads(payload)) == without_models(json.loads(exchange.response)), exchange.id
    assert len(seen) > 45


def without_models(value: object) -> object:
    """An answer without what may differ: models, accounts, and whether a list goes on."""
    if isinstance(value, dict):
        return {
            key: without_models(inner)
            for key, inner in value.items()
            if key not in {"model", "organization_id", "has_more", "fine_tuned_model", "fine_tuned_model_checkpoint"}
        }
    return [without_models(one) for one in value] if isinstance(value, list) else value


def test_recorded_requests_with_anothers_ids_reach_no_upstream(
    gateway: tuple[ScriptedUpstream, RunningGateway],
) -> None:
    upstream, running = gateway
    tried = 0
    for exchange, row in recordings():
        ids = ids_in(exchange, row)
        if not ids or row.body in ("form", "file"):
            continue
        for id_ in ids:
            record_owner(running, id_, alias=ALIAS)
        with running.client() as client:
            status, _ = play(client, exchange, row, OTHER)
        assert status == 404, exchange.id
        tried += 1
    assert tried > 40
    assert upstream.requests == []
