"""Generates the reference of translations, in Markdown, from their tables of verdicts."""

from collections.abc import Iterator

from proxy.dialects.translate import CONVERSATIONS
from proxy.dialects.translate.mapper import Rule
from proxy.dialects.translate.translation import Translation

_OPENING = """\
# Translation

Any client, with the models of other providers: an alias serves an endpoint of a format that none of its targets
speaks by translating requests, responses and streams. A target that speaks the client's format is always tried first,
and its bytes pass as ever; translation costs such requests nothing.

```toml
[models.prometheus-core]
capability = "chat"
targets = ["anthropic/claude-sonnet-4-5"]
translate = "lenient"         # the default; "strict" refuses what would be said in part, "off" translates nothing
reasoning = true              # the model thinks, and takes how much it is to think
max_output_tokens = 8192      # where a client sets no bound and the target demands one; 4,096 when left out
```

## What becomes of a field

- **mapped**: carried over whole. Texts, arguments of tools and schemas keep their bytes: no number passes through a
  float.
- **in part**: what can be said is said, and the field is named in the response's header. With `translate = "strict"`
  it is refused.
- **left out**: it means nothing at the other side, or is a hint; the field is named in the header. Fields that are
  not known are left out likewise.
- **refused**: it changes what is generated, what it costs or whether a parser holds. The request is a `400` with the
  code `not_translatable`, and `param` names the field; nothing was sent, and nothing is billed. Kinds of content that
  are not known are refused likewise.

```
X-Prism-Translated: messages>chat; lossy=thinking.budget_tokens; dropped=top_k,context_management
```

## Streams

Every piece of a text, of thoughts and of a call's arguments goes on in the turn in which it came. What a format
forces to wait, waits: the reason to stop of a message until the usage of a chat, and the arguments of a call that
goes on beside another one (256 KiB of them at most, else the response fails), for a message has one block at a time.
Nothing else is held, and a stream that breaks off never gets an end: the client sees an error, as it does without
translation.

- A message's first event has the input tokens as an estimate, since a chat counts them at the end; its last event has
  the count.
- Ids of calls are the provider's own where every format takes them, else derived from the response's id: the same
  each time. Ids of responses are derived too. Names of tools beyond 64 characters are shortened for a chat.
- The bill is made from what the provider reports, before it is translated; the client sees the same counts in its own
  format's convention.
- Thoughts reach a client of chats as `reasoning_content`, with the provider's signatures in `thinking_blocks`: a
  client that sends these back with the message has the model go on thinking; where a loop of tools lacks them the
  model goes on without thinking, since its provider would refuse it.
- Tools that a provider runs itself are not the client's: their calls are never passed on as calls to run.
- Images and documents of a tool's result, which a chat cannot have there, follow in a message of their own. Nothing
  is fetched: a document by its URL is refused where the target does not fetch it itself.

## What is promised, and where it is tested

| promise | tests |
|---|---|
| Any cut of an upstream's bytes gives the same output; none gives an end | `dialects/translate/test_reader.py` |
| Each field has its verdict; a refusal names it; nothing is sent | `dialects/translate/`, `sdk/test_translated.py` |
| Events come in the order of their format, one block at a time | `dialects/translate/` |
| The SDKs of OpenAI and Anthropic read each other's models | `sdk/test_translated.py` |
| The bill does not depend on the translation | `sdk/test_translated.py` |

Not translated: `/v1/responses`, Gemini's formats, counting of tokens, and everything else than text.

"""


def reference() -> str:
    """The document of all pairs."""
    pairs = [one for one in CONVERSATIONS if isinstance(one, Translation)]
    return _OPENING + "\n".join("\n".join(_pair(pair)) for pair in pairs)


def _pair(pair: Translation) -> Iterator[str]:
    endpoints = ", ".join(f"`{endpoint}`" for endpoint in pair.endpoints)
    yield f"## {endpoints} at providers of {_TARGETS[type(pair).__name__.rpartition('To')[2]]}"
    yield ""
    yield "| field | becomes | |"
    yield "|---|---|---|"
    for name, rule in pair.fields.items():
        yield f"| `{name}` | {_verdict(name, rule)} | {rule.why} |"
    yield ""


_TARGETS = {"Chat": "chat completions", "Messages": "Messages", "Gemini": "generateContent", "Responses": "Responses"}
_VERDICTS = {
    "map": "mapped",
    "lossy": "in part",
    "drop": "left out",
    "ignore": "left out, without a word",
    "refuse": "refused",
}


def _verdict(name: str, rule: Rule) -> str:
    said = _VERDICTS[rule.verdict.value]
    return f"{said}: `{rule.to}`" if rule.to and rule.to != name else said


if __name__ == "__main__":
    print(reference(), end="")
