"""The text that the demo provider generates, how it is split into stream chunks, and how its tokens are counted.

Pure and deterministic: the same prompt gives the same text.
"""

import re
from collections.abc import Iterator

from proxy.demo.faults import without_phrases

#: One rule for every model, so that a bill can be checked from the texts alone.
CHARACTERS_PER_TOKEN = 4
_MAX_QUOTED_CHARACTERS = 200
# Words of three letters: with the space before it each is one token, so that a stream has as many chunks as tokens.
_FILLER = "the sun was out and the old dog ran far but the red fox sat and saw how the day may end "
_WORD = re.compile(r"\s*\S+|\s+")
_TEXTS = (
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
    return tokens_in(len(text))


def tokens_in(characters: int) -> int:
    """Tokens of a text of this length."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def filler_text(tokens: int) -> str:
    """A text of exactly this many tokens, each of them one chunk of a stream."""
    characters = tokens * CHARACTERS_PER_TOKEN - 1
    return (_FILLER * (characters // len(_FILLER) + 1))[:characters]


def text_for(prompt: str) -> str:
    """The text for a prompt: a built-in one where a subject is recognised, else one that quotes the prompt."""
    asked = without_phrases(prompt)
    lowered = asked.lower()
    words = words_of(lowered)
    for subjects, text in _TEXTS:
        if any(subject in words if " " not in subject else subject in lowered for subject in subjects):
            return text
    if not asked:
        return "You sent no text, so there is little to say. I am the built-in demo model; ask me what a gateway is."
    quoted = asked
    if len(asked) > _MAX_QUOTED_CHARACTERS:
        quoted = asked[:_MAX_QUOTED_CHARACTERS].rstrip() + "…"
    return (
        f"You wrote “{quoted}”. I am the built-in demo model, so I cannot think about it, but everything around this "
        "answer is real: the key was checked, the alias was resolved, the stream was relayed and the tokens were "
        "billed. Put a provider into the configuration and the same request gets a real answer."
    )


def split_words(text: str) -> Iterator[str]:
    """The text word by word, each with the space before it, as a model streams it; joined they are the text again."""
    return (match.group() for match in _WORD.finditer(text))


def split_arguments(text: str, size: int = 12) -> Iterator[str]:
    """The text in parts of equal size, as the arguments of a function call are streamed."""
    return (text[start : start + size] for start in range(0, len(text), size))


def words_of(text: str) -> frozenset[str]:
    """The distinct words of a text, in lower case."""
    return frozenset(re.findall(r"\w+", text.lower()))


def similarity(query: str, text: str) -> float:
    """How many of the query's words a text has, from 0 to 1; of two texts with the same words the shorter wins."""
    wanted, found = words_of(query), words_of(text)
    if not wanted or not found:
        return 0.0
    shared = len(wanted & found)
    return round(0.9 * shared / len(wanted) + 0.1 * shared / len(found), 6)
