"""Requests to make lines of."""

from typing import Any

import msgspec

from proxy.ledger.record import UsageRecord
from proxy.observability.schemas import Access
from tests.ledger.samples import final

FINAL = final(
    1,
    input_tokens=9,
    output_tokens=2,
    cost=18_700,
    ttft=12_340,
    total=56_780,
    overhead=120,
)


def access(bill: UsageRecord | None = FINAL, **changes: Any) -> Access:
    line = Access(
        time=1_700_000_000_000_000,
        method="POST",
        path="/v1/chat/completions",
        status=200,
        request_id="req_1",
        total=56_780,
        key="laptop",
        final=bill,
    )
    return msgspec.structs.replace(line, **changes)


def changed(**changes: Any) -> Access:
    return access(msgspec.structs.replace(FINAL, **changes))
