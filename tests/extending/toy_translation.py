"""The one file of a translation: OpenAI's chat for upstreams that speak a toy format under Anthropic's name.

The toy takes `{"ask": TEXT, "who": MODEL, "pieces": STREAM}` at `/toy`, says `{"said": TEXT, "used": [IN, OUT]}`
or sends events of `{"piece": TEXT}` and at last `{"used": [IN, OUT]}`, and ends the body.
"""

import json
from collections.abc import Sequence
from typing import Any

from proxy.dialects.base import Dialect
from proxy.dialects.conversation import IDENTITY, Conversation
from proxy.dialects.readers import ResponseReader
from proxy.wire.headers import Header
from proxy.wire.schemas import Body
from proxy.wire.sse import SSEParser


def usage_of(used: list[int]) -> dict[str, int]:
    return {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)}


class ToyReader(ResponseReader):
    """Turns the toy's bytes into OpenAI's, and reads those as from an upstream that sent them."""

    def __init__(self, inner: ResponseReader, model: str) -> None:
        super().__init__(inner.meter)
        self._inner = inner
        self._model = model
        self._parser = SSEParser()
        self._held = b""
        self.events = inner.events
        self.by_parts = inner.by_parts

    def feed(self, data: bytes, complete: bool) -> bytes:
        if self.events:
            translated = b"".join(self._event(block) for block in self._parser.feed(data))
        else:
            self._held += data
            translated = self._json(self._held) if complete else b""
        return self._inner.feed(translated, complete)

    @property
    def over(self) -> bool:
        return self._inner.over

    @property
    def whole(self) -> bool:
        return self._inner.whole

    def _event(self, block: bytes) -> bytes:
        value = json.loads(block.partition(b"data:")[2])
        if "used" in value:
            choices = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
            end = self._chunk(choices=choices) + self._chunk(choices=[], usage=usage_of(value["used"]))
            return end + b"data: [DONE]\n\n"
        return self._chunk(choices=[{"index": 0, "delta": {"content": value["piece"]}, "finish_reason": None}])

    def _chunk(self, **fields: Any) -> bytes:
        value = {"id": "toy", "object": "chat.completion.chunk", "model": self._model, **fields}
        return b"data: " + json.dumps(value).encode() + b"\n\n"

    def _json(self, data: bytes) -> bytes:
        value = json.loads(data)
        message = {"role": "assistant", "content": value["said"]}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        fields = {"object": "chat.completion", "model": self._model, "choices": choices}
        return json.dumps({"id": "toy", **fields, "usage": usage_of(value["used"])}).encode()


class ToyConversation(Conversation):
    caller = "openai"
    target = "anthropic"
    endpoints = ("/v1/chat/completions",)

    def path(self, path: bytes, stream: bool) -> bytes:
        return b"/toy"

    def body(self, body: Body, model: str, may_ask_usage: bool) -> bytes:
        messages = json.loads(bytes(body.fields["messages"]))
        return json.dumps({"ask": messages[-1]["content"], "who": model, "pieces": body.stream}).encode()

    def body_parts(self, body: Body, model: str, may_ask_usage: bool) -> list[bytes | memoryview]:
        return [self.body(body, model, may_ask_usage)]

    def reader(
        self, headers: Sequence[Header], dialect: Dialect, body: Body, *, model: str, **terms: Any
    ) -> ResponseReader:
        # The usage event is always made, and left out again where the client did not ask for it.
        terms["may_ask_usage"] = True
        return ToyReader(IDENTITY.reader(headers, dialect, body, model=model, **terms), model)

    def error(self, dialect: Dialect, body: bytes) -> bytes | None:
        return None
