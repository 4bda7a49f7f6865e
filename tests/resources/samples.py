"""A gateway with two keys and one upstream, for the tests of things with an id. Not a test itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.auth.keys import digest_of
from proxy.ledger.record import OwnershipRecord
from proxy.resources.spec import ResourceRow
from tests.fakes import Body, Head, RawClient
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway, simple_config

OTHER = "prom_sk_another_key_that_is_long_enough_for_everybody"
__all__ = ["ALIAS", "KEY", "OTHER", "UPSTREAM_MODEL", "ask", "ask_json", "gateway_over", "record_owner"]
ASSISTANT = {"id": "asst_1", "object": "assistant", "model": "vendor-model-dated", "tool_resources": {}}
#: Names of ids in paths that must be the key's own.
OWNED_IDS = frozenset(
    {"response_id", "conversation_id", "file_id", "upload_id", "batch_id", "vector_store_id", "file_batch_id"}
    | {"assistant_id", "thread_id", "run_id", "video_id", "job_id"}
)


def gateway_over(tmp_path: Path, *base_urls: str, **settings: Any) -> RunningGateway:
    """Not started yet; its keys are `KEY` and, after `add_key`, `OTHER`."""
    return RunningGateway(simple_config(tmp_path, *base_urls, **settings))


def record_owner(
    gateway: RunningGateway,
    id_: str,
    kind: str = "file",
    *,
    name: str = "test",
    upstream: str = "vendor1",
    alias: str = "",
) -> None:
    """Record the key of that name as the owner of a resource."""

    def record(running: Any) -> None:
        key = running.keys.lookup(digest_of((KEY if name == "test" else OTHER).encode()), 0.0).id
        model = UPSTREAM_MODEL if alias else ""
        assert running.ledger.owners.record(OwnershipRecord(id_, kind, key, upstream, 1, alias, model))

    gateway.call(record)


def ask(
    client: RawClient,
    method: str,
    path: str,
    body: bytes | Mapping[str, Any] | None = None,
    *,
    key: str = KEY,
    headers: Mapping[str, str] | None = None,
) -> tuple[Head, Body]:
    """One request and its answer."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"authorization": f"Bearer {key}"}
    if body is not None:
        fields["content-type"] = "application/json"
    client.request(method, path, data, {**fields, **(headers or {})})
    return client.read_answer()


def ask_json(gateway: RunningGateway, method: str, path: str, *arguments: Any, **keywords: Any) -> tuple[int, Any]:
    """One request on a connection of its own; the status and the decoded answer."""
    with gateway.client() as client:
        head, body = ask(client, method, path, *arguments, **keywords)
        assert body.complete
        return head.status, json.loads(body.payload)


def names(row: ResourceRow) -> str:
    return f"{row.method} {row.path}"
