"""`/v1/batches`: every line of the input file goes through the endpoint it names, while the request waits."""

import asyncio
import secrets
import time
from dataclasses import replace
from typing import Any, Final

import msgspec
from starlette.types import Message

from proxy.demo.chat import chat_completions, completions
from proxy.demo.exchange import ClientDisconnected, DemoExchange
from proxy.demo.faults import error_body
from proxy.demo.resources import BATCH, FILE, DemoHandler, DemoRoutes, Values, add_file
from proxy.demo.responses import create_response
from proxy.demo.retrieval import embeddings
from proxy.errors import GatewayError, InvalidRequest

_MAX_LINES: Final = 1_000
_HANDLERS: Final[dict[str, DemoHandler]] = {
    "/v1/chat/completions": chat_completions,
    "/v1/completions": completions,
    "/v1/embeddings": embeddings,
    "/v1/responses": create_response,
}


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/batches`."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None


class BatchLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the input file."""

    custom_id: str
    body: msgspec.Raw = msgspec.Raw(b"{}")


async def create_batch(exchange: DemoExchange) -> None:
    """`POST /v1/batches`."""
    request = await exchange.read(BatchRequest)
    if request.endpoint not in _HANDLERS:
        message = f"'endpoint' must be one of {', '.join(_HANDLERS)}."
        raise InvalidRequest(message, param="endpoint", code="invalid_value")
    content = exchange.store.get(FILE.object, request.input_file_id).content
    lines = [line for line in content.split(b"\n") if line.strip()]
    if not 1 <= len(lines) <= _MAX_LINES:
        raise InvalidRequest(f"The input file takes 1 to {_MAX_LINES} lines.", param="input_file_id")
    responses = [await _run_line(exchange, line, request.endpoint) for line in lines]
    output = [one for one in responses if one["response"]["status_code"] == 200]
    errors = [one for one in responses if one["response"]["status_code"] != 200]
    now = int(time.time())
    values = {
        **msgspec.to_builtins(request),
        "status": "completed",
        "output_file_id": _add_lines(exchange, "output", output),
        "error_file_id": _add_lines(exchange, "error", errors),
        **dict.fromkeys(("in_progress_at", "finalizing_at", "completed_at"), now),
        "expires_at": now + 86_400,
        "errors": None,
        "request_counts": {"total": len(lines), "completed": len(output), "failed": len(errors)},
        "usage": _usage(output),
    }
    batch = BATCH.store(exchange, values)
    await exchange.send_json(exchange.store.update(batch, values).value)


async def _run_line(exchange: DemoExchange, line: bytes, endpoint: str) -> Values:
    """The line of the output for a line of the input."""
    custom_id = None
    try:
        read = msgspec.json.decode(line, type=BatchLine)
        custom_id = read.custom_id
        status, body = 200, await _run(exchange, bytes(read.body), _HANDLERS[endpoint])
    except GatewayError as error:
        status, body = error.status, error_body(error)
    except (msgspec.DecodeError, RecursionError, ClientDisconnected) as error:
        status, body = 400, error_body(InvalidRequest(f"This line cannot be run in a batch: {error}."))
    # Many lines take a while, and other requests share the event loop.
    await asyncio.sleep(0)
    response = {"status_code": status, "request_id": f"req_{secrets.token_hex(16)}", "body": body}
    return {"id": f"batch_req_{secrets.token_hex(12)}", "custom_id": custom_id, "response": response, "error": None}


async def _run(exchange: DemoExchange, body: bytes, handler: DemoHandler) -> Any:
    """What a handler responds to a body, at once and with a store of its own. Raises ClientDisconnected for a wait."""
    received: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request", "body": body}]
    sent = bytearray()

    async def receive() -> Message:
        return received.pop()

    async def send(message: Message) -> None:
        sent.extend(message.get("body", b""))

    settings = replace(exchange.settings, first_token_delay=0, token_interval=0)
    await handler(DemoExchange(exchange.scope, receive, send, settings))
    return msgspec.json.decode(bytes(sent))


def _add_lines(exchange: DemoExchange, name: str, lines: list[Values]) -> str | None:
    content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    return add_file(exchange, f"{name}.jsonl", content, "batch_output").id if lines else None


def _usage(lines: list[Values]) -> Values:
    usages = [line["response"]["body"].get("usage") or {} for line in lines]
    counts = {
        "input_tokens": sum(usage.get("prompt_tokens", usage.get("input_tokens", 0)) for usage in usages),
        "output_tokens": sum(usage.get("completion_tokens", usage.get("output_tokens", 0)) for usage in usages),
        "total_tokens": sum(usage.get("total_tokens", 0) for usage in usages),
    }
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {**counts, **details}


ROUTES: Final[DemoRoutes] = (("POST", "/v1/batches", create_batch),)
