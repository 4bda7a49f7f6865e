"""The words of the code: those of HTTP and of databases, so that a stranger can guess a name and search for it.

Here stand the words of a dialect that the project once had. In names and docstrings they do not come back; where some
are left, they are listed by room, and the list only shrinks.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from tests.architecture.source import Module

#: Not in names nor in docstrings; beside each what to say instead.
WORDS = {
    "asker": "the interface's own name, such as `Sink`",
    "beaten": "heartbeat",
    "breath": "yield",
    "breathe": "yield",
    "crew": "workers",
    "desk": "handler",
    "glance": "summary",
    "hear": "receive, notice",
    "heard": "received, noticed",
    "hears": "receives, notices",
    "hopeless": "a limit with MAX in its name",
    "leftover": "drain",
    "lessons": "misses of a cache",
    "nobody": "the component that does not",
    "poke": "resume, notify",
    "pokes": "resumes, notifies",
    "somebody": "the component that does",
    "tell": "notify, report",
    "tells": "notifies, reports",
    "told": "notified, reported",
    "visit": "request, context",
    "whoever": "the component that does",
}
#: In docstrings they are English; as names they say too little.
NAME_WORDS = {
    "answer": "response",
    "answers": "responses",
    "asking": "client, request",
    "peek": "parse",
    "reply": "response, response reader",
    "shown": "rewritten, visible",
    "splice": "render",
    "taking": "capture",
}
PHRASES = {"see the module": "what the class is"}

#: Words that are left: (room, word). The list only shrinks.
LEFT: frozenset[tuple[str, str]] = frozenset(
    {
        ("endpoints", "reply"),
        ("exchange", "tell"),
        ("ledger", "tell"),
        ("wire", "shown"),
    }
)

_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_WORD = re.compile(r"[a-z]+")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def old_words(module: Module) -> Iterator[tuple[ast.AST, str, str]]:
    """Each word of the old dialect in a name or docstring of the module, and what to say instead."""
    in_names = WORDS | NAME_WORDS
    for node in ast.walk(module.tree):
        for name in _names(node) if node is not module.tree else [module.name.rpartition(".")[2]]:
            for word in _PARTS.findall(name):
                if word.lower() in in_names:
                    yield node, word.lower(), in_names[word.lower()]
        if isinstance(node, _DOCUMENTED):
            text = (ast.get_docstring(node) or "").lower()
            for word in _WORD.findall(text):
                if word in WORDS:
                    yield node, word, WORDS[word]
            for phrase in PHRASES:
                if phrase in text:
                    yield node, phrase, PHRASES[phrase]


def _names(node: ast.AST) -> Iterator[str]:
    """The names that are given here, not those that are used."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    elif isinstance(node, ast.arg):
        yield node.arg


def dialect_words(module: Module, left: AbstractSet[tuple[str, str]] = LEFT) -> Iterator[str]:
    for node, word, better in old_words(module):
        if (module.room, word) not in left:
            yield module.at(node, f"`{word}` in a name or docstring: rather {better}")


def stale_words(modules: Sequence[Module], left: AbstractSet[tuple[str, str]] = LEFT) -> Iterator[str]:
    """Exemptions of words that are gone."""
    found = {(module.room, word) for module in modules for _, word, _ in old_words(module)}
    for room, word in sorted(left - found):
        yield f"`{word}` is gone from `{room}`: take its exemption out"
