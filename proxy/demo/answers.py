"""The words of the demo provider: what it answers to a text, how text is cut into pieces, how tokens are counted.

Pure and deterministic: the same text gives the same answer.
"""

import re
from collections.abc import Iterator

from proxy.demo.phrases import without_phrases

#: Characters to a token. One rule for everything, so that a bill can be checked from the text alone.
CHARACTERS_A_TOKEN = 4
_QUOTED_CHARACTERS = 200

# Words of three letters: with the blank before it each is one token, so that chunks and tokens are the same number.
_FILLER = "the sun was out and the old dog ran far but the red fox sat and saw how the day may end "

_WORD = re.compile(r"\s*\S+|\s+")

_ANSWERS = (
    (
        ("gateway", "proxy", "prometheus"),
        "A model gateway stands between your code and the providers of language models. Your code keeps the OpenAI SDK "
        "and changes one line, the base URL. The gateway checks the key, turns a stable alias into today's model, "
        "relays the answer as it is written, and bills each request exactly once. If a provider fails before the first "
        "byte, the next target is tried.",
    ),
    (
        ("stream", "latency", "fast", "speed", "first token"),
        "With stream set to true the answer arrives as server-sent events, a few characters at a time. What you feel "
        "is the time to first token, so a good relay passes each byte on in the moment it arrives: nothing is "
        "collected, nothing is parsed twice, and when you stop reading, the provider is told to stop writing.",
    ),
    (
        ("price", "cost", "bill", "usage", "budget", "spend"),
        "Every request becomes one row of the ledger: input tokens, output tokens, the time to first token and the "
        "cost in exact decimals. The row says whether the provider reported its numbers or they were estimated, for a "
        "stream that was cut still has to be paid. Add stream_options with include_usage to see the numbers yourself.",
    ),
    (
        ("alias", "aliases", "model", "models", "which"),
        "Choose by what you need: spark for short tasks, lite for everyday volume, core for planning and code, vision "
        "for pictures, pulse and surge for live conversation, atlas for embeddings and echo for speech. The names stay "
        "the same when the models behind them change.",
    ),
    (
        ("key", "keys", "token", "security", "secret"),
        "Keys are shown once, when they are made, and stored only as hashes. A key can be limited to some aliases and "
        "given a budget, and a revoked one stops working at once. The provider's own credential never leaves the "
        "gateway, and your key never reaches the provider.",
    ),
    (
        ("deploy", "deployment", "checklist", "production"),
        "A short checklist: 1. Put the providers' credentials into the environment, not into the file. 2. Give each "
        "service its own key and budget. 3. Name two targets for each alias that matters. 4. Let the load balancer "
        "watch the readiness path. 5. Try a cancel, a slow reader and a killed process before your users do.",
    ),
    (
        ("hello", "hi", "hey", "hallo", "bonjour"),
        "Hello! I am the built-in demo model: no real provider was called and no real money was spent. Ask me what a "
        "gateway is, how streaming works or what a request costs, or point your own code at this address and see "
        "the usage grow.",
    ),
)


def count_tokens(text: str) -> int:
    """Tokens of a text: one for each four characters begun."""
    return tokens_of(len(text))


def tokens_of(characters: int) -> int:
    """Tokens of so many characters."""
    return -(-characters // CHARACTERS_A_TOKEN)


def filler(tokens: int) -> str:
    """A text of exactly so many tokens, each of them one piece."""
    characters = tokens * CHARACTERS_A_TOKEN - 1
    return (_FILLER * (characters // len(_FILLER) + 1))[:characters]


def answer_to(text: str) -> str:
    """The answer to what a user wrote: a built-in one where a subject is recognised, else one about the text itself."""
    asked = without_phrases(text)
    lowered = asked.lower()
    words = frozenset(re.findall(r"\w+", lowered))
    for subjects, answer in _ANSWERS:
        if any(subject in words if " " not in subject else subject in lowered for subject in subjects):
            return answer
    if not asked:
        return "You sent no text, so there is little to say. I am the built-in demo model; ask me what a gateway is."
    quoted = asked if len(asked) <= _QUOTED_CHARACTERS else asked[:_QUOTED_CHARACTERS].rstrip() + "…"
    return (
        f"You wrote “{quoted}”. I am the built-in demo model, so I cannot think about it, but everything around this "
        "answer is real: the key was checked, the alias was resolved, the stream was relayed and the tokens were "
        "billed. Put a provider into the configuration and the same request gets a real answer."
    )


def pieces(text: str) -> Iterator[str]:
    """The text word by word, each with the blanks before it, as a model writes; joined they are the text again."""
    return (match.group() for match in _WORD.finditer(text))


def fragments(text: str, size: int = 12) -> Iterator[str]:
    """The text in parts of equal size, as the arguments of a tool call arrive."""
    return (text[start : start + size] for start in range(0, len(text), size))
