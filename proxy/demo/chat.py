"""The writers of `POST /v1/chat/completions` and `POST /v1/completions`: JSON, or a stream of chunks."""

import hashlib
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

from proxy.demo.engine import ChatRequest, DemoOutput, Generation, TextRequest, cut_text, generate
from proxy.demo.exchange import DONE, DemoEvent, DemoExchange, event
from proxy.demo.faults import parse_faults
from proxy.demo.words import count_tokens, filler_text, split_arguments, split_words, text_for
from proxy.errors import InvalidRequest

_DEFAULT_COMPLETION_TOKENS: Final = 16
_MAX_PROMPTS: Final = 20


class CompletionRequest(TextRequest, frozen=True, kw_only=True):
    """`POST /v1/completions`."""

    prompt: str | list[str]


async def chat_completions(exchange: DemoExchange) -> None:
    request = await exchange.read(ChatRequest)
    generation = await generate(exchange, request, "v1/chat/completions", stream=bool(request.stream))
    # The fingerprint is the same for all responses of one model.
    fingerprint = f"fp_{hashlib.sha256(generation.model.encode()).hexdigest()[:10]}"
    common = {"service_tier": "default", "system_fingerprint": fingerprint}
    if request.stream:
        head = {**_head("chatcmpl-", "chat.completion.chunk"), "model": generation.model, **common}
        events = _chat_chunks(head, generation, include_usage=request.include_usage)
        await exchange.send_events(events, generation.faults, generation.model)
        return
    choices = [
        {"index": index, "message": _message(output), "logprobs": None, "finish_reason": output.finish_reason}
        for index, output in enumerate(generation.outputs)
    ]
    body = {**_head("chatcmpl-", "chat.completion"), "model": generation.model, "choices": choices}
    await exchange.send_json({**body, **_usage(generation), **common}, generation.faults)


def _head(prefix: str, kind: str) -> dict[str, Any]:
    return {"id": prefix + secrets.token_hex(14), "object": kind, "created": int(time.time())}


def _usage(generation: Generation) -> dict[str, Any]:
    """OpenAI's usage object under its key; nothing where the phrases leave it out."""
    if generation.faults.no_usage:
        return {}
    output_details = ("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens")
    usage = {
        "prompt_tokens": generation.input_tokens,
        "completion_tokens": generation.output_tokens,
        "total_tokens": generation.input_tokens + generation.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": dict.fromkeys(output_details, 0),
    }
    return {"usage": usage}


def _message(output: DemoOutput) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": output.text, "refusal": None, "annotations": []}
    if output.function is None:
        return message
    function = {"name": output.function, "arguments": output.text}
    return {
        **message,
        "content": None,
        "tool_calls": [{"id": output.call_id, "type": "function", "function": function}],
    }


def _chat_chunks(head: dict[str, Any], generation: Generation, *, include_usage: bool) -> Iterator[DemoEvent]:
    """The chunks. With `include_usage` each has the key: null, but for the extra one before the end."""
    empty = {"usage": None} if include_usage else {}

    def chunk(index: int, delta: dict[str, Any], reason: str | None = None, *, content: bool = False) -> DemoEvent:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event({**head, "choices": [choice], **empty}, content=content)

    for index, output in enumerate(generation.outputs):
        yield chunk(index, _first_delta(output))
    for index, output in enumerate(generation.outputs):
        if output.function is None:
            for word in split_words(output.text):
                yield chunk(index, {"content": word}, content=True)
        else:
            for part in split_arguments(output.text):
                call = {"index": 0, "function": {"arguments": part}}
                yield chunk(index, {"tool_calls": [call]}, content=True)
        yield chunk(index, {}, output.finish_reason)
    if include_usage and not generation.faults.no_usage:
        yield event({**head, "choices": [], **_usage(generation)})
    if not generation.faults.no_done:
        yield DONE


def _first_delta(output: DemoOutput) -> dict[str, Any]:
    delta: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    if output.function is None:
        return delta
    function = {"name": output.function, "arguments": ""}
    call = {"index": 0, "id": output.call_id, "type": "function", "function": function}
    return {**delta, "content": None, "tool_calls": [call]}


async def completions(exchange: DemoExchange) -> None:
    """`POST /v1/completions`; each prompt gets `n` choices.

    Chunks have `model` after `choices`, and the usage chunk before, as OpenAI's do.
    """
    request = await exchange.read(CompletionRequest)
    model = request.validate("v1/completions")
    prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    if not 1 <= len(prompts) <= _MAX_PROMPTS:
        raise InvalidRequest(f"'prompt' takes 1 to {_MAX_PROMPTS} texts.", param="prompt", code="invalid_value")
    faults = parse_faults(prompts[-1])
    limit = request.max_tokens or faults.tokens or _DEFAULT_COMPLETION_TOKENS
    texts = [filler_text(faults.tokens) if faults.tokens else text_for(prompt) for prompt in prompts]
    outputs = [DemoOutput(*cut_text(text, request.stops, limit)) for text in texts for _ in range(request.n or 1)]
    generation = Generation(model, faults, outputs, sum(map(count_tokens, prompts)))
    await exchange.think(faults, model, [output.text for output in outputs], stream=bool(request.stream))
    head = _head("cmpl-", "text_completion")
    if request.stream:
        events = _completion_chunks(head, generation, include_usage=request.include_usage)
        await exchange.send_events(events, faults, model)
        return
    choices = [_choice(index, output.text, output.finish_reason) for index, output in enumerate(outputs)]
    body = {**head, "model": model, "choices": choices, **_usage(generation)}
    await exchange.send_json(body, faults)


def _completion_chunks(head: dict[str, Any], generation: Generation, *, include_usage: bool) -> Iterator[DemoEvent]:
    closing = {"model": generation.model, **({"usage": None} if include_usage else {})}
    for index, output in enumerate(generation.outputs):
        for word in split_words(output.text):
            yield event({**head, "choices": [_choice(index, word, None)], **closing}, content=True)
        yield event({**head, "choices": [_choice(index, "", output.finish_reason)], **closing})
    if include_usage and not generation.faults.no_usage:
        yield event({**head, "model": generation.model, **_usage(generation), "choices": []})
    if not generation.faults.no_done:
        yield DONE


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}
