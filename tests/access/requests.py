"""Requests to make lines of."""

from typing import Any

import msgspec

from proxy.access.shapes import Access
from proxy.ledger.record import Final

FINAL = Final(
    id="req_1",
    started=1_700_000_000_000_000,
    key="key_1",
    alias="prometheus-core",
    endpoint="/v1/chat/completions",
    upstream="vendor1",
    upstream_model="vendor-model",
    stream=True,
    status=200,
    outcome="complete",
    attempts=1,
    input_tokens=9,
    output_tokens=2,
    usage_source="reported",
    cost=18_700,
    ttft=12_340,
    total=56_780,
    overhead=120,
)


def access(final: Final | None = FINAL, **changes: Any) -> Access:
    line = Access(
        time=1_700_000_000_000_000,
        method="POST",
        path="/v1/chat/completions",
        status=200,
        request_id="req_1",
        total=56_780,
        key="laptop",
        final=final,
    )
    return msgspec.structs.replace(line, **changes)


def changed(**changes: Any) -> Access:
    return access(msgspec.structs.replace(FINAL, **changes))
