"""A plausible value for a JSON schema: the arguments of a function call, or text in a requested format. Pure.

It follows types, enums, references, unions and lower bounds, ignores other keywords, and validates nothing.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

_MAX_DEPTH: Final = 12
_MAX_VALUES: Final = 500
_MAX_ITEMS: Final = 8
_MAX_NUMBER: Final = 1e12
_PROMPT_FIELDS: Final = ("query", "question", "prompt", "text", "message", "input", "search", "answer", "content")
#: Texts for fields that have such a word in their format or name.
_TEXTS: Final = (
    ("date-time", "2026-11-20T09:30:00Z"),
    ("date", "2026-11-20"),
    ("location", "Paris"),
    ("city", "Paris"),
    ("country", "France"),
    ("email", "ada@example.com"),
    ("uri", "https://example.com/"),
    ("url", "https://example.com/"),
    ("path", "notes/today.md"),
    ("name", "Ada Lovelace"),
)


def sample(schema: Any, prompt: str) -> Any:
    """A value that fits the schema; fields that ask for the user's words get `prompt`."""
    return _Sampler(schema, prompt or "hello").value(schema, "", 0)


class _Sampler:
    """One run over one schema; it is bounded, for a schema may refer to itself or grow without end."""

    def __init__(self, root: Any, prompt: str) -> None:
        self._root = root
        self._prompt = prompt
        self._values_left = _MAX_VALUES

    def value(self, schema: Any, name: str, depth: int) -> Any:
        self._values_left -= 1
        schema = self._resolve(schema)
        for keyword in ("const", "default"):
            if keyword in schema:
                return schema[keyword]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        exhausted = depth >= _MAX_DEPTH or self._values_left <= 0
        # Gemini's own schemas have the types in capitals.
        match str(kind).lower():
            case "object":
                properties = schema.get("properties")
                parts = properties.items() if isinstance(properties, Mapping) and not exhausted else ()
                return {one: self.value(part, str(one), depth + 1) for one, part in parts}
            case "array":
                fewest = schema.get("minItems")
                count = max(1, min(fewest, _MAX_ITEMS)) if isinstance(fewest, int) else 1
                return [self.value(schema.get("items"), name, depth + 1) for _ in range(0 if exhausted else count)]
            case "integer" | "number":
                return _number(schema, whole=str(kind).lower() == "integer")
            case "boolean":
                return True
            case "null":
                return None
        wanted = f"{schema.get('format')} {name}".lower()
        if any(word in name.lower() for word in _PROMPT_FIELDS):
            return self._prompt
        return next((text for word, text in _TEXTS if word in wanted), "example")

    def _resolve(self, schema: Any) -> Mapping[str, Any]:
        """The schema with references followed, and of a union the first branch that is not null."""
        for _ in range(_MAX_DEPTH):
            if not isinstance(schema, Mapping):
                break
            branches = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if isinstance(reference := schema.get("$ref"), str):
                schema = self._root
                for step in filter(None, reference.removeprefix("#").split("/")):
                    schema = schema.get(step) if isinstance(schema, Mapping) else None
            elif isinstance(branches, list) and branches:
                schema = min(branches, key=lambda one: isinstance(one, Mapping) and one.get("type") == "null")
            else:
                return schema
        return {}


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    """The lower bound, else 1 or a lower upper bound; whole wherever that fits, for many a `number` is a count."""
    low, above, high = (_bound(schema.get(name)) for name in ("minimum", "exclusiveMinimum", "maximum"))
    number = 1 if high is None else min(1, high)
    if low is not None:
        number = low
    elif above is not None:
        number = above + 1 if high is None or above + 1 <= high else (above + high) / 2
    return math.ceil(number) if whole or number == int(number) else number


def _bound(given: Any) -> float | None:
    return given if isinstance(given, int | float) and abs(given) <= _MAX_NUMBER else None
