"""Lists as OpenAI gives them out: newest first, a page at a time, behind a cursor."""

from collections.abc import Sequence
from typing import Any

from proxy.demo.exchange import Exchange
from proxy.errors import InvalidRequest

_MOST = 100


async def page(exchange: Exchange, oldest_first: Sequence[dict[str, Any]], *, default: int = 20) -> None:
    """Answer with a page; `limit`, `order`, `after` and `before` come from the query."""
    limit = exchange.query("limit", str(default))
    if not limit.isdecimal() or not 1 <= int(limit) <= _MOST:
        raise InvalidRequest(f"'limit' takes a number from 1 to {_MOST}.", param="limit", code="invalid_value")
    values = list(oldest_first) if exchange.query("order") == "asc" else list(reversed(oldest_first))
    ids = [value["id"] for value in values]
    after, before = exchange.query("after"), exchange.query("before")
    start = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(values)
    shown = values[start:end][: int(limit)]
    await exchange.send_json(
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": start + len(shown) < end,
        }
    )
