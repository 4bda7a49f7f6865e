"""The writers of `POST /v1/chat/completions` and `POST /v1/completions`: JSON, or a stream of chunks."""

import hashlib
import secrets
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec

from proxy.demo.engine import ChatRequest, DemoOutput, Generation, TextRequest, cut_text, generate
from proxy.demo.exchange import DONE, DemoEvent, DemoExchange, event
from proxy.demo.faults import parse_faults
from proxy.demo.words import count_tokens, filler_text, split_arguments, split_words, text_for

_DEFAULT_COMPLETION_TOKENS: Final = 16

#: A choice of a chunk, and whether it carries content.
DemoChoice = tuple[dict[str, Any], bool]


class CompletionRequest(TextRequest, frozen=True, kw_only=True):
    """`POST /v1/completions`."""

    prompt: str | Annotated[list[str], msgspec.Meta(min_length=1, max_length=20)]


async def chat_completions(exchange: DemoExchange) -> None:
    request = await exchange.read(ChatRequest)
    generation = await generate(exchange, request, "v1/chat/completions", stream=bool(request.stream))
    # The fingerprint is the same for all responses of one model.
    fingerprint = f"fp_{hashlib.sha256(generation.model.encode()).hexdigest()[:10]}"
    head = {"id": f"chatcmpl-{secrets.token_hex(14)}", "object": "chat.completion", "created": int(time.time())}
    head |= {"model": generation.model, "service_tier": "default", "system_fingerprint": fingerprint}
    if request.stream:
        head["object"] = "chat.completion.chunk"
        await _send_chunks(exchange, request, generation, head, _chat_choices(generation))
        return
    choices = [
        {"index": index, "message": _message(output), "logprobs": None, "finish_reason": output.finish_reason}
        for index, output in enumerate(generation.outputs)
    ]
    await exchange.send_json({**head, "choices": choices, **_usage(generation)}, generation.faults)


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
    if output.function is not None:
        function = {"name": output.function, "arguments": output.text}
        call = {"id": output.call_id, "type": "function", "function": function}
        message |= {"content": None, "tool_calls": [call]}
    return message


def _chat_choices(generation: Generation) -> Iterator[DemoChoice]:
    """The choices of the chunks: the role and the name of a function, the content, and the finish reason."""
    for index, output in enumerate(generation.outputs):
        delta: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        if output.function is not None:
            function = {"name": output.function, "arguments": ""}
            call = {"index": 0, "id": output.call_id, "type": "function", "function": function}
            delta |= {"content": None, "tool_calls": [call]}
        yield _delta(index, delta), False
    for index, output in enumerate(generation.outputs):
        if output.function is None:
            deltas: list[dict[str, Any]] = [{"content": word} for word in split_words(output.text)]
        else:
            parts = split_arguments(output.text)
            deltas = [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts]
        for delta in deltas:
            yield _delta(index, delta), True
        yield _delta(index, {}, output.finish_reason), False


def _delta(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


async def _send_chunks(
    exchange: DemoExchange,
    request: TextRequest,
    generation: Generation,
    head: dict[str, Any],
    choices: Iterator[DemoChoice],
) -> None:
    """Send a chunk for each choice. With `include_usage` each has the key: null, but for the extra one at the end."""

    def chunks() -> Iterator[DemoEvent]:
        empty = {"usage": None} if request.include_usage else {}
        for choice, content in choices:
            yield event({**head, "choices": [choice], **empty}, content=content)
        if request.include_usage and not generation.faults.no_usage:
            yield event({**head, "choices": [], **_usage(generation)})

    await exchange.send_events(chunks(), generation.faults, generation.model, end_mark=DONE)


async def completions(exchange: DemoExchange) -> None:
    """`POST /v1/completions`; each prompt gets `n` choices."""
    request = await exchange.read(CompletionRequest)
    model = request.validate("v1/completions")
    prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    faults = parse_faults(prompts[-1])
    limit = request.max_tokens or faults.tokens or _DEFAULT_COMPLETION_TOKENS
    texts = [filler_text(faults.tokens) if faults.tokens else text_for(prompt) for prompt in prompts]
    outputs = [DemoOutput(*cut_text(text, request.stops, limit)) for text in texts for _ in range(request.n or 1)]
    generation = Generation(model, faults, outputs, sum(map(count_tokens, prompts)))
    await exchange.think(faults, model, [output.text for output in outputs], stream=bool(request.stream))
    head = {"id": f"cmpl-{secrets.token_hex(14)}", "object": "text_completion", "created": int(time.time())}
    head["model"] = model
    if request.stream:
        await _send_chunks(exchange, request, generation, head, _completion_choices(generation))
        return
    choices = [_choice(index, output.text, output.finish_reason) for index, output in enumerate(outputs)]
    await exchange.send_json({**head, "choices": choices, **_usage(generation)}, faults)


def _completion_choices(generation: Generation) -> Iterator[DemoChoice]:
    for index, output in enumerate(generation.outputs):
        for word in split_words(output.text):
            yield _choice(index, word, None), True
        yield _choice(index, "", output.finish_reason), False


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}
