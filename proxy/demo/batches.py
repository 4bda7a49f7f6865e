"""`/v1/batches` of the demo provider: every line of the input file is answered at once, while the request waits."""

import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec

from proxy.demo.chat import chat_answer
from proxy.demo.completions import completion_answer
from proxy.demo.embeddings import embedding_answer
from proxy.demo.exchange import Exchange
from proxy.demo.faults import error_body
from proxy.demo.files import add_file
from proxy.demo.resources import Resource, Routes, now
from proxy.demo.responses import response_answer
from proxy.errors import GatewayError, InvalidRequest

BATCHES: Final = Resource("batch", "batch_")
_MOST_LINES: Final = 1_000
_ANSWERS: Final[dict[str, Callable[[msgspec.Raw], dict[str, Any]]]] = {
    "/v1/chat/completions": chat_answer,
    "/v1/completions": completion_answer,
    "/v1/embeddings": embedding_answer,
    "/v1/responses": response_answer,
}


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the input file."""

    custom_id: str
    url: str = ""
    body: msgspec.Raw = msgspec.Raw(b"{}")


async def create(exchange: Exchange) -> None:
    """`POST /v1/batches`."""
    request = await exchange.read(BatchRequest)
    if request.endpoint not in _ANSWERS:
        known = ", ".join(_ANSWERS)
        raise InvalidRequest(f"'endpoint' must be one of {known}.", param="endpoint", code="invalid_value")
    lines = [line for line in exchange.store.get("file", request.input_file_id).content.split(b"\n") if line.strip()]
    if not 1 <= len(lines) <= _MOST_LINES:
        raise InvalidRequest(f"The input file takes 1 to {_MOST_LINES} lines.", param="input_file_id")
    answers: list[bytes] = []
    errors: list[bytes] = []
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    for number, line in enumerate(lines, 1):
        status, answer = _answered(line, number, request.endpoint, usage)
        (answers if status == 200 else errors).append(msgspec.json.encode(answer))
        # Many lines take a while, and others share this loop.
        await exchange.pause(0)
    await exchange.send_json(_finished(exchange, request, answers, errors, usage))


def _answered(line: bytes, number: int, endpoint: str, usage: dict[str, int]) -> tuple[int, dict[str, Any]]:
    """The line of the output for a line of the input; what it used is added to `usage`."""
    custom_id = None
    try:
        read = msgspec.json.decode(line, type=Line)
        custom_id = read.custom_id
        status, body = 200, _ANSWERS[endpoint](read.body)
    except GatewayError as error:
        status, body = error.status, error_body(error)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
        status, body = 400, error_body(InvalidRequest(f"Line {number}: {error}."))
    counted = body.get("usage") or {}
    usage["input_tokens"] += counted.get("prompt_tokens", counted.get("input_tokens", 0))
    usage["output_tokens"] += counted.get("completion_tokens", counted.get("output_tokens", 0))
    usage["total_tokens"] += counted.get("total_tokens", 0)
    response = {"status_code": status, "request_id": f"req_{secrets.token_hex(16)}", "body": body}
    return status, {"id": f"batch_req_{number}", "custom_id": custom_id, "response": response, "error": None}


def _finished(
    exchange: Exchange, request: BatchRequest, answers: list[bytes], errors: list[bytes], usage: dict[str, int]
) -> dict[str, Any]:
    files: dict[str, str | None] = {"output_file_id": None, "error_file_id": None}
    for name, lines in (("output_file_id", answers), ("error_file_id", errors)):
        if lines:
            files[name] = add_file(exchange, f"{name}.jsonl", b"\n".join(lines) + b"\n", "batch_output").id
    moment = now()
    fields = {
        "endpoint": request.endpoint,
        "errors": None,
        "input_file_id": request.input_file_id,
        "completion_window": request.completion_window,
        "status": "completed",
        **files,
        **dict.fromkeys(("in_progress_at", "finalizing_at", "completed_at"), moment),
        "expires_at": moment + 86_400,
        **dict.fromkeys(("failed_at", "expired_at", "cancelling_at", "cancelled_at")),
        "request_counts": {"total": len(answers) + len(errors), "completed": len(answers), "failed": len(errors)},
        "usage": {**usage, "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": _NO_REASONING},
        "metadata": request.metadata,
    }
    return BATCHES.keep(exchange, fields).value


_NO_REASONING: Final = {"reasoning_tokens": 0}


async def cancel(exchange: Exchange) -> None:
    """`POST /v1/batches/{id}/cancel`: it always comes too late."""
    status = BATCHES.find(exchange).value["status"]
    raise InvalidRequest(f"Cannot cancel a batch with status '{status}'.", status=409)


ROUTES: Final[Routes] = (
    ("POST", "/v1/batches", create),
    ("GET", "/v1/batches", BATCHES.listing),
    ("GET", "/v1/batches/{id}", BATCHES.retrieve),
    ("POST", "/v1/batches/{id}/cancel", cancel),
)
