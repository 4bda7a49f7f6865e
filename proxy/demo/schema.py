"""Makes a plausible value for a JSON schema: the arguments of a tool call, or the answer in a wanted format.

Pure. It serves the schemas that people send to models (objects, arrays, enums, references, unions, ranges); it
checks nothing, and keywords that it does not know are left aside.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_DEEPEST = 12
_MOST_VALUES = 500
_MOST_ITEMS = 8
_LONGEST_STRING = 4096
_LARGEST_NUMBER = 1e12
_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")

_BY_FORMAT = (
    ("date-time", "2026-11-20T09:30:00Z"),
    ("date", "2026-11-20"),
    ("time", "09:30:00"),
    ("duration", "PT15M"),
    ("email", "ada@example.com"),
    ("uri", "https://example.com/"),
    ("url", "https://example.com/"),
    ("hostname", "example.com"),
    ("ipv4", "192.0.2.1"),
    ("ipv6", "2001:db8::1"),
    ("uuid", "3f2b8c1e-6a4d-4f0b-9c57-1d2e3f4a5b6c"),
)
_BY_NAME = (
    ("location", "Paris"),
    ("city", "Paris"),
    ("country", "France"),
    ("email", "ada@example.com"),
    ("url", "https://example.com/"),
    ("date", "2026-11-20"),
    ("language", "en"),
    ("currency", "EUR"),
    ("timezone", "Europe/Paris"),
    ("code", "print('hello')"),
    ("path", "notes/today.md"),
    ("name", "Ada Lovelace"),
)
#: Names under which a tool wants the user's own words.
_OWN_WORDS = ("query", "question", "prompt", "text", "message", "input", "search", "answer", "content")


def sample(schema: Any, text: str) -> Any:
    """A value that fits the schema; `text` is what the user wrote and fills the fields that ask for such a thing."""
    return _Sampler(schema, text).value(schema, name="", depth=0)


class _Sampler:
    """One run over one schema, with a budget, for a schema may refer to itself or be made to explode."""

    def __init__(self, root: Any, text: str) -> None:
        self._root = root
        self._text = text or "hello"
        self._left = _MOST_VALUES

    def value(self, schema: Any, name: str, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, Mapping):
            return self._string({}, name)
        schema = self._settled(schema)
        for keyword in ("const", "default"):
            if keyword in schema:
                return schema[keyword]
        for keyword in ("enum", "examples"):
            choices = schema.get(keyword)
            if isinstance(choices, list) and choices:
                return choices[0]
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return _number(schema, whole=True)
            case "number":
                return _number(schema, whole=False)
            case "boolean":
                return True
            case "null":
                return None
        return self._string(schema, name)

    def _settled(self, schema: Schema) -> Schema:
        """The schema with references followed, unions decided and `allOf` merged; a chain of them is cut off."""
        for _ in range(_DEEPEST):
            if isinstance(reference := schema.get("$ref"), str):
                schema = self._resolve(reference)
            elif branches := _branches(schema):
                rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
                schema = {**rest, **branches[0]}
            elif isinstance(parts := schema.get("allOf"), list):
                schema = self._merged(schema, parts)
            else:
                break
        return schema

    def _merged(self, schema: Schema, parts: list[Any]) -> Schema:
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in parts:
            if isinstance(part, Mapping) and isinstance(reference := part.get("$ref"), str):
                part = self._resolve(reference)
            if isinstance(part, Mapping):
                properties = {**_mapping(merged, "properties"), **_mapping(part, "properties")}
                required = [*_names(merged), *_names(part)]
                merged.update(part)
                merged.update({"properties": properties, "required": required} if properties else {})
        return merged

    def _resolve(self, reference: str) -> Schema:
        found = self._root
        for step in reference.removeprefix("#").strip("/").split("/") if reference.strip("#/") else ():
            step = step.replace("~1", "/").replace("~0", "~")
            found = found.get(step) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        required = _names(schema)
        made: dict[str, Any] = {}
        for name, part in _mapping(schema, "properties").items():
            # Past the budget only what must be there is made, and past the greatest depth nothing more.
            if depth < _DEEPEST and (self._left > 0 or (name in required and self._left > -_MOST_VALUES)):
                made[name] = self.value(part, name, depth + 1)
        return made

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        least = schema.get("minItems", 1)
        most = schema.get("maxItems", _MOST_ITEMS)
        count = max(1, least) if isinstance(least, int) else 1
        count = min(count, _MOST_ITEMS, most if isinstance(most, int) else _MOST_ITEMS)
        if depth >= _DEEPEST or self._left <= 0:
            return []
        return [self.value(schema.get("items", {}), name, depth + 1) for _ in range(count)]

    def _string(self, schema: Schema, name: str) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", _LONGEST_STRING)
        made = self._words(schema.get("format"), name.lower())
        if isinstance(least, int) and len(made) < least:
            made = made.ljust(min(least, _LONGEST_STRING), "a")
        return made[:most] if isinstance(most, int) and most >= 0 else made

    def _words(self, text_format: Any, name: str) -> str:
        for known, made in _BY_FORMAT:
            if text_format == known:
                return made
        if any(word in name for word in _OWN_WORDS):
            return self._text[:_LONGEST_STRING]
        for known, made in _BY_NAME:
            if known in name:
                return made
        return "example"


def _branches(schema: Schema) -> list[Schema]:
    """The branches of a union, those that are not null first."""
    for keyword in ("anyOf", "oneOf"):
        branches = schema.get(keyword)
        if isinstance(branches, list):
            usable = [branch for branch in branches if isinstance(branch, Mapping)]
            return sorted(usable, key=lambda branch: branch.get("type") == "null")
    return []


def _type_of(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        # Gemini's own schemas have them in capitals.
        return kind.lower()
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _mapping(schema: Schema, keyword: str) -> Schema:
    found = schema.get(keyword)
    return found if isinstance(found, Mapping) else {}


def _names(schema: Schema) -> list[str]:
    found = schema.get("required")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _number(schema: Schema, *, whole: bool) -> int | float:
    """A number inside the schema's range: its lower end, else its upper end, else 1.

    It is whole wherever that fits, for what a schema calls a number is often a count to who reads it.
    """
    given = schema.get("multipleOf")
    bounds = [schema.get(name) for name in _BOUNDS]
    steps: list[float] = (
        [1] if whole or all(bound is None or bound == int(bound) for bound in map(_bound, bounds)) else []
    )
    steps += [] if whole else [0.5]
    if isinstance(given, int | float) and 1e-6 <= given <= _LARGEST_NUMBER:
        steps = [1, given] if not whole and not 1 % given else [given]
    numbers = [_in_steps(schema, step) for step in steps]
    numbers += [bound for bound in (_bound(schema.get("minimum")), _bound(schema.get("maximum"))) if bound is not None]
    number = next((number for number in numbers if _fits(schema, number)), numbers[0])
    return int(number) if whole or number == int(number) else number


def _in_steps(schema: Schema, step: float) -> float:
    candidates = (
        (schema.get("minimum"), 0.0),
        (schema.get("exclusiveMinimum"), step),
        (schema.get("maximum"), 0.0),
        (schema.get("exclusiveMaximum"), -step),
    )
    for given, shift in candidates:
        bound = _bound(given)
        if bound is not None:
            upwards = shift >= 0 and given is not schema.get("maximum")
            return (-(-(bound + shift) // step) if upwards else (bound + shift) // step) * step
    return step


def _fits(schema: Schema, number: float) -> bool:
    low, above, high, below = (_bound(schema.get(name)) for name in _BOUNDS)
    return (
        (low is None or number >= low)
        and (above is None or number > above)
        and (high is None or number <= high)
        and (below is None or number < below)
    )


def _bound(given: Any) -> int | float | None:
    """A bound that can be counted with; None for none."""
    usable = isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= _LARGEST_NUMBER
    return given if usable else None
