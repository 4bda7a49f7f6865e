"""One answer is read alike however its bytes were cut on their way: the same status, words, bill and next target."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from proxy.ledger.record import UsageRecord
from tests.fakes import LAST_CHUNK, RecordedRequest, ScriptedUpstream, Send, Step, chunk, head
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway, finals_of, simple_config

MODEL = UPSTREAM_MODEL
SECRETS = f"{MODEL} failed at https://inner.example/v1 for org-ABCDEFGH12345 key sk-SECRET0123456789"
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
GENERATE = f"/v1beta/models/{ALIAS}:generateContent"
EMBEDDINGS = "/v1/embeddings"
IMAGES = "/v1/images/generations"
SPEECH = "/v1/audio/speech"
KINDS = {MESSAGES: "anthropic", GENERATE: "gemini"}
CAPABILITIES = {EMBEDDINGS: "embeddings", IMAGES: "image", SPEECH: "speech"}
QUESTION = {"model": ALIAS, "messages": [], "input": "x", "prompt": "x", "max_tokens": 9}
#: Every byte of answers that are shorter; so many places of others.
SHORT, PLACES = 120, 24


@dataclass(frozen=True)
class Told:
    """All of an answer that must not depend on how it was cut."""

    status: int
    words: bytes
    outcome: str
    source: str
    used: tuple[int, ...]
    cost: int | None
    attempts: int


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def chat(**fields: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    return compact({"id": "c1", "model": MODEL, "choices": [choice], **fields})


COUNTED = {"prompt_tokens": 77, "completion_tokens": 5, "total_tokens": 82}
#: Answers by what they are: the endpoint and the body.
ANSWERS: dict[str, tuple[str, bytes]] = {
    "a chat": (CHAT, chat(usage=COUNTED)),
    "no usage": (CHAT, chat()),
    "usage in a choice": (CHAT, chat(choices=[{"index": 0, "message": {"content": "a"}, "usage": COUNTED}])),
    "usage of groq": (CHAT, chat(x_groq={"usage": COUNTED})),
    "an error": (CHAT, compact({"error": {"message": SECRETS, "type": "server_error", "code": 500}})),
    "an error as a text": (CHAT, compact({"error": SECRETS})),
    "an error in a choice": (
        CHAT,
        chat(choices=[{"index": 0, "message": {}, "finish_reason": "error", "error": {"message": SECRETS}}]),
    ),
    "an error beside an answer": (CHAT, chat(error={"message": SECRETS})),
    "no error": (CHAT, chat(error=None, usage=COUNTED)),
    "no JSON": (CHAT, b'{"i: "resp_776", "object":"chat.completion","model":"vendor-big"}'),
    "a list": (CHAT, b"[" + chat() + b"]"),
    "a word": (CHAT, b'"vendor-big"'),
    "junk behind": (CHAT, chat() + b"vendor-big"),
    "short of its end": (CHAT, chat()[:-1]),
    "nothing": (CHAT, b""),
    "blanks": (CHAT, b"\n \r\n"),
    "too many blanks before": (CHAT, b" " * 70_000 + chat(usage=COUNTED)),
    "a mark of its bytes' order and too many blanks": (CHAT, b"\xef\xbb\xbf" + b"\n" * 70_000 + chat()),
    "blanks around": (CHAT, b"\n\n " + chat(usage=COUNTED) + b"\n"),
    "a mark of its bytes' order": (CHAT, b"\xef\xbb\xbf" + chat(usage=COUNTED)),
    "half a pair": (CHAT, chat(note="@", usage=COUNTED).replace(b"@", rb"\ud83d")),
    "the other half": (CHAT, chat(note="@", usage=COUNTED).replace(b"@", rb"\udcaf")),
    "no number": (CHAT, chat(logprob=-0.5, usage=COUNTED).replace(b"-0.5", b"-Infinity")),
    "not a number": (CHAT, chat(logprob=0.5, usage=COUNTED).replace(b"0.5", b"NaN")),
    "no UTF-8": (CHAT, chat(note="@", usage=COUNTED).replace(b"@", b"\xff")),
    "a page": (CHAT, b"<!DOCTYPE html><html>vendor-big</html>"),
    "a response": (RESPONSES, compact({"id": "r1", "model": MODEL, "error": None, "usage": {"input_tokens": 3}})),
    "an error of responses": (RESPONSES, compact({"error": {"message": SECRETS}})),
    "a message": (
        MESSAGES,
        compact({"type": "message", "model": MODEL, "content": [], "usage": {"input_tokens": 7, "output_tokens": 2}}),
    ),
    "an error of messages": (MESSAGES, compact({"type": "error", "error": {"message": SECRETS}})),
    "an error of messages without a type": (MESSAGES, compact({"error": {"message": SECRETS}})),
    "a generation": (
        GENERATE,
        compact({"candidates": [], "usageMetadata": {"promptTokenCount": 5}, "modelVersion": MODEL}),
    ),
    "an error of Google's": (GENERATE, compact({"error": {"code": 500, "message": SECRETS}})),
    "an error of Google's in a list": (GENERATE, compact([{"error": {"code": 500, "message": SECRETS}}])),
    "embeddings": (
        EMBEDDINGS,
        compact({"data": [{"embedding": [0.1, -0.2]}], "model": MODEL, "usage": {"prompt_tokens": 4}}),
    ),
    "an error of embeddings": (EMBEDDINGS, compact({"error": {"message": SECRETS}})),
    "images": (IMAGES, compact({"data": [{"b64_json": "AAAA"}, {"b64_json": "BBBB"}]})),
    "an error of images": (IMAGES, compact({"error": {"message": SECRETS}})),
    "an error in place of audio": (SPEECH, compact({"error": {"message": SECRETS}})),
}
#: The same beyond what is held: what tells stands behind it, or before.
FILLER = "x" * 300_000
LARGE: dict[str, tuple[str, bytes]] = {
    "a chat": (CHAT, chat(filler=FILLER, usage=COUNTED)),
    "usage in a choice": (
        CHAT,
        chat(choices=[{"index": 0, "message": {"content": FILLER}, "usage": COUNTED}]),
    ),
    "usage of groq": (CHAT, chat(filler=FILLER, x_groq={"id": "r", "usage": COUNTED})),
    "an error before": (CHAT, compact({"error": {"message": SECRETS}, "filler": FILLER})),
    "an error that is none before": (CHAT, compact({"error": "", "filler": FILLER, "model": MODEL, "usage": COUNTED})),
    "an error in a choice": (CHAT, chat(choices=[{"error": {"message": SECRETS}, "filler": FILLER}])),
    "an error of messages": (MESSAGES, compact({"type": "error", "error": {"message": SECRETS, "filler": "x"}})),
}


class Rig:
    """A gateway over two upstreams, or one, and what a client of it is told."""

    def __init__(self, folder: Path, path: str, stack: ExitStack, *, backed: bool) -> None:
        self._path = path
        self._first = stack.enter_context(ScriptedUpstream())
        urls = [self._first.base_url]
        if backed:
            urls.append(stack.enter_context(ScriptedUpstream(self._well)).base_url)
        config = simple_config(
            folder,
            *urls,
            upstream={"kind": KINDS.get(path, "compatible"), "consecutive_5xx": 0, "consecutive_gateway_failures": 0},
            model={"capability": CAPABILITIES.get(path, "chat")},
        )
        self._gateway = stack.enter_context(RunningGateway(config))
        self._finals = finals_of(self._gateway.gateway.ledger.journal)
        self._client = stack.enter_context(self._gateway.client())

    def _well(self, _: RecordedRequest) -> Sequence[Step]:
        return answer_in(ANSWERS["a chat" if self._path == CHAT else "nothing"][1])

    def told(self, pieces: Sequence[bytes], *, whole: bool = True) -> Told:
        """What the client is told of an answer in these pieces, each in a chunk of its own, and the bill."""
        self._first.script(answer_in(*pieces))
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        if whole:
            self._client.request("POST", self._path, compact(QUESTION), headers)
            head_, body = self._client.read_answer()
        else:
            # A cut answer is the last one on its connection.
            with self._gateway.client() as client:
                client.request("POST", self._path, compact(QUESTION), headers)
                head_, body = client.read_answer()
        assert body.complete or not whole
        final: UsageRecord = self._finals[head_.header("x-request-id") or ""]
        words = body.payload
        if head_.status != 200:
            error = json.loads(words)["error"]
            words = error["message"].encode()
        for secret in (b"inner.example", b"ABCDEFGH", b"SECRET0123"):
            assert secret not in body.payload
        return Told(
            head_.status,
            words,
            final.outcome,
            final.usage_source,
            (final.input_tokens, final.output_tokens, final.images, final.text_out),
            final.cost,
            final.attempts,
        )


def answer_in(*pieces: bytes) -> list[Step]:
    """An answer whose chunks are these, and its end."""
    fields = {"content-type": "application/json", "transfer-encoding": "chunked"}
    return [head(200, fields), *[chunk(piece) for piece in pieces if piece], Send(LAST_CHUNK)]


def cuts(body: bytes, every: bool) -> Iterator[int]:
    """Where to cut a body in two."""
    if every or len(body) <= SHORT:
        yield from range(len(body) + 1)
    else:
        yield from sorted({*range(0, len(body), max(1, len(body) // PLACES)), 1, len(body) - 1, len(body)})


def check(folder: Path, path: str, body: bytes, *, backed: bool, every: bool = False) -> Told:
    """The same is told of it in one piece and in two; what."""
    with ExitStack() as stack:
        rig = Rig(folder, path, stack, backed=backed)
        whole = rig.told([body])
        for at in cuts(body, every):
            assert rig.told([body[:at], body[at:]]) == whole, f"cut at {at}: {body[max(0, at - 20) : at]!r}"
    return whole


@pytest.mark.parametrize("backed", [False, True], ids=["alone", "backed"])
@pytest.mark.parametrize(("path", "body"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_is_told_and_billed_alike_in_one_piece_and_in_two(
    tmp_path: Path, path: str, body: bytes, backed: bool
) -> None:
    check(tmp_path, path, body, backed=backed and path == CHAT)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "body"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_is_told_and_billed_alike_cut_at_every_byte(tmp_path: Path, path: str, body: bytes) -> None:
    check(tmp_path, path, body, backed=path == CHAT, every=True)


@pytest.mark.parametrize(("path", "body"), LARGE.values(), ids=LARGE.keys())
def test_a_large_answer_is_told_and_billed_alike_in_one_piece_and_in_two(
    tmp_path: Path, path: str, body: bytes
) -> None:
    check(tmp_path, path, body, backed=False)


@pytest.mark.parametrize(
    ("name", "status", "outcome", "source"),
    [
        ("a chat", 200, "complete", "reported"),
        ("usage in a choice", 200, "complete", "reported"),
        ("usage of groq", 200, "complete", "reported"),
        ("an error", 502, "upstream_error", "none"),
        ("an error in a choice", 502, "upstream_error", "none"),
        ("an error of messages without a type", 502, "upstream_error", "none"),
        ("an error of Google's in a list", 502, "upstream_error", "none"),
        ("an error in place of audio", 502, "upstream_error", "none"),
        ("no JSON", 502, "upstream_error", "none"),
        ("half a pair", 200, "complete", "reported"),
        ("the other half", 200, "complete", "reported"),
        ("no number", 200, "complete", "reported"),
        ("a mark of its bytes' order", 200, "complete", "reported"),
        ("blanks around", 200, "complete", "reported"),
        ("a page", 502, "upstream_error", "none"),
        ("images", 200, "complete", "reported"),
    ],
)
def test_what_is_told_of_an_answer(tmp_path: Path, name: str, status: int, outcome: str, source: str) -> None:
    path, body = ANSWERS[name]
    with ExitStack() as stack:
        told = Rig(tmp_path, path, stack, backed=False).told([body])
    assert (told.status, told.outcome, told.source) == (status, outcome, source)
    if status == 200:
        assert told.words == body.replace(MODEL.encode(), ALIAS.encode())


@pytest.mark.parametrize(
    ("name", "status", "outcome", "source"),
    [
        ("a chat", 200, "complete", "reported"),
        ("usage in a choice", 200, "complete", "reported"),
        ("usage of groq", 200, "complete", "reported"),
        ("an error before", 502, "upstream_error", "none"),
        ("an error that is none before", 200, "complete", "reported"),
        ("an error in a choice", 502, "upstream_error", "none"),
    ],
)
def test_what_is_told_of_a_large_answer(tmp_path: Path, name: str, status: int, outcome: str, source: str) -> None:
    path, body = LARGE[name]
    with ExitStack() as stack:
        told = Rig(tmp_path, path, stack, backed=False).told([body])
    assert (told.status, told.outcome, told.source) == (status, outcome, source)


#: What an answer says beside its content.
SAID: dict[str, tuple[str, dict[str, object]]] = {
    "a tier": (CHAT, {"service_tier": "priority", "usage": COUNTED}),
    "zeros over the usage of a choice": (
        CHAT,
        {"choices": [{"message": {"content": "a"}, "usage": COUNTED}], "usage": dict.fromkeys(COUNTED, 0)},
    ),
    "usage of groq and an empty one": (CHAT, {"x_groq": {"usage": COUNTED}, "usage": {}}),
    "no number in the usage": (CHAT, {"usage": {**COUNTED, "speed": float("nan")}}),
    "half a pair in the usage": (CHAT, {"usage": {**COUNTED, "note": "\ud83d"}}),
    "searches": (
        RESPONSES,
        {
            "output": [{"type": "web_search_call"}, {"type": "mcp_call", "error": "none"}],
            "usage": {"input_tokens": 3, "output_tokens": 4},
        },
    ),
    "a tier of a response": (RESPONSES, {"service_tier": "flex", "usage": {"input_tokens": 3, "output_tokens": 4}}),
    "no input of a message": (MESSAGES, {"usage": {"output_tokens": 4}}),
    "a generation": (GENERATE, {"usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 9}}),
}


@pytest.mark.parametrize(("path", "fields"), SAID.values(), ids=SAID.keys())
def test_a_large_answer_is_billed_by_what_it_says_like_a_small_one(
    tmp_path: Path, path: str, fields: dict[str, object]
) -> None:
    with ExitStack() as stack:
        rig = Rig(tmp_path, path, stack, backed=False)
        small = rig.told([compact({"model": MODEL, **fields})])
        large = rig.told([compact({"model": MODEL, **fields, "filler": FILLER})])
    assert (large.outcome, large.source, large.used[:3], large.cost) == (
        small.outcome,
        small.source,
        small.used[:3],
        small.cost,
    )


SAID_LATE = compact({"filler": FILLER, "error": {"message": SECRETS}, "model": MODEL})


@pytest.mark.parametrize("backed", [False, True], ids=["alone", "backed"])
@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (SAID_LATE, "upstream_error"),
        (chat(filler=FILLER, choices=[{"error": {"message": SECRETS}}]), "upstream_error"),
        (compact({"filler": "x" * 262_000, "error": {"message": SECRETS * 40}}), "upstream_error"),
        (compact({"filler": "x" * 262_100, "error": {"message": SECRETS * 40}}), "upstream_error"),
        (compact({"filler": "x" * 262_200, "error": {"message": SECRETS * 40}}), "upstream_error"),
        (chat(filler=FILLER)[:-1], "upstream_cut"),
        (chat(filler=FILLER) + b"junk", "upstream_cut"),
    ],
    ids=["an error", "one in a choice", "one that begins early", "at the bound", "beyond it", "no end", "junk behind"],
)
def test_what_comes_behind_a_large_beginning_is_told_alike_however_it_was_cut(
    tmp_path: Path, body: bytes, outcome: str, backed: bool
) -> None:
    with ExitStack() as stack:
        rig = Rig(tmp_path, CHAT, stack, backed=backed)
        told = [
            rig.told([body[:at], body[at:]], whole=False)
            for at in (1, 60_000, 150_000, 262_144, 262_150, len(body) - 4)
        ]
    if outcome == "upstream_cut":
        # How much of it the client got is a matter of how far it was read.
        told = [replace(one, words=b"", used=(), cost=None) for one in told]
    assert told == [told[0]] * len(told)
    if told[0].status == 200 and told[0].attempts == 1:
        assert told[0].outcome == outcome


def test_an_error_behind_a_large_answer_s_beginning_is_scrubbed_and_billed_as_one(tmp_path: Path) -> None:
    body = compact({"filler": FILLER * 3, "error": {"message": SECRETS}, "model": MODEL})
    for at in (1_000, 400_000, body.index(b"inner"), len(body) - 3):
        with ExitStack() as stack:
            folder = tmp_path / str(at)
            folder.mkdir()
            told = Rig(folder, CHAT, stack, backed=False).told(
                [body[:300_000], body[300_000:at], body[max(at, 300_000) :]]
            )
        assert (told.status, told.outcome) == (200, "upstream_error")
        assert json.loads(told.words)["error"]["message"].startswith(f"{ALIAS} failed at *** for ***")


def test_another_target_is_asked_after_an_error_in_any_number_of_pieces(tmp_path: Path) -> None:
    path, body = ANSWERS["an error"]
    told = check(tmp_path, path, body, backed=True)
    assert (told.status, told.attempts, told.outcome) == (200, 2, "complete")
