"""Which objects at an upstream a request body names, and whether it names models beside its own.

The objects are only found here; `ownership` looks up whose they are. A body that names none costs a few searches for a
word; only one that may name some is read to its leaves. Every repeated key counts, and a key
written with escapes or in other letters too, because another reader may take the one that this one would not.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from proxy.errors import InvalidRequest
from proxy.exchange.context import NESTED, NESTED_GEMINI
from proxy.policies.json_pairs import Pairs, read
from proxy.wire.field_names import HOLDER_NAMES, MODEL_NAMES, OBJECT_NAMES, guarded_name
from proxy.wire.json_scan import contains_rare

#: Fields whose value is an id, a list of ids, or an object with one.
NAMES: Final = OBJECT_NAMES | HOLDER_NAMES
#: Fields that are read to their leaves whatever words they have, and may name something there.
_READ: Final = frozenset({"audio"})
#: Fields that a body with references has at its top, or else those of its endpoint below it.
TOP_NAMES: Final = NAMES | _READ
#: A body names at most so many.
MAX_REFERENCES: Final = 2_000
#: Values of a body that is read to its leaves.
MAX_VALUES: Final = 100_000
ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
#: Parts of a body that belong to its author alone: no upstream takes an id from there.
_PRIVATE: Final = frozenset(
    {
        "inputSchema",
        "input_schema",
        "metadata",
        "parameters",
        "parametersJsonSchema",
        "responseJsonSchema",
        "responseSchema",
        "schema",
    }
)
#: The same below fields of these names: what a model gave to a function, and what that gave back.
_PRIVATE_IN: Final = frozenset(
    {
        ("functionCall", "args"),
        ("functionResponse", "response"),
        ("function_call", "args"),
        ("function_response", "response"),
    }
)
#: Items whose `input` is what a model gave to a function.
_TOOL_USE: Final = frozenset({"mcp_tool_use", "server_tool_use", "tool_use"})
#: In small letters, one of these is in every name that may stand below the top, and in few texts.
_WORDS: Final = (
    b"file_id",
    b"vector_store_id",
    b"skill_id",
    b"container_id",
    b"library_id",
    b"collection_id",
    b"prompt_id",
    b"agent_id",
)
#: All words that any endpoint is searched for.
_ALL: Final = tuple(dict.fromkeys(NESTED + NESTED_GEMINI))
#: Letters of another alphabet that some servers read as s and k.
_OTHER_LETTERS: Final = (b"\xc5\xbf", b"\xe2\x84\xaa")
# A letter, or the underscore, of a name written as an escape; and those of another alphabet.
_ESCAPED: Final = re.compile(rb"\\u00[4-7]")
_OTHER_ESCAPED: Final = re.compile(rb"\\u(?:017[fF]|212[aA])")
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[,\[{]', re.DOTALL)
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)
#: What the address of an account's file at Google has in it, in one way of asking for it or another.
_AT_GOOGLE: Final = re.compile(r"googleapis|/v\d\w*/files/", re.IGNORECASE)
#: Characters of an address that is looked at.
_MAX_URI_CHARACTERS: Final = 4_096

_BACKSLASH: Final = 0x5C
_QUOTE: Final = 0x22

#: The field, and the id in it.
Reference = tuple[str, str]


def check_models(
    fields: Mapping[str, msgspec.Raw],
    choosing: frozenset[str],
    inside: frozenset[str],
    usable: Callable[[str], bool],
) -> None:
    """Refuse a body that names models beside its own: in fields that choose some, or anywhere inside some others.

    A name that is `usable` is one of an alias that the key may use; it passes as it is. Raises `InvalidRequest`.
    """
    if not choosing.isdisjoint(fields):
        for name in choosing:
            if name in fields and not _names_usable(_read(bytes(fields[name])), usable):
                raise _other_model(name)
    for name in inside:
        if name in fields:
            value = bytes(fields[name])
            if b"model" in value.lower() or (_BACKSLASH in value and _has_escaped_letters(value)):
                _check_inside(name, _read(value), usable)


def _names_usable(value: Any, usable: Callable[[str], bool]) -> bool:
    """Whether a value names nothing, or only what is usable."""
    if not value:
        return True
    if isinstance(value, list) and not isinstance(value, Pairs):
        return all(isinstance(one, str) and usable(one) for one in value)
    return False


def _check_inside(field: str, value: Any, usable: Callable[[str], bool]) -> None:
    if isinstance(value, Pairs):
        is_function = all(inner == "function" for name, inner in value if name.casefold() == "type")
        for name, inner in value:
            if guarded_name(name) in MODEL_NAMES and _names_other(inner, usable):
                raise _other_model(f"{field}.{name}")
            if is_function and name in ("function", "parameters"):
                continue
            if name not in _PRIVATE or name == "parameters":
                _check_inside(field, inner, usable)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, list):
                _check_inside(field, inner, usable)


def _names_other(value: Any, usable: Callable[[str], bool]) -> bool:
    if isinstance(value, str):
        return not usable(value)
    if isinstance(value, Pairs) or not isinstance(value, list):
        return False
    return any(isinstance(one, str) and not usable(one) for one in value)


def _other_model(field: str) -> InvalidRequest:
    return InvalidRequest(
        f"The field '{field}' chooses a further model, and a key uses the models of its own names only. Leave it out, "
        "or have the gateway's operator allow it (client_models).",
        param=field,
        code="model_not_supported",
    )


def find(fields: Mapping[str, msgspec.Raw]) -> tuple[Reference, ...]:
    """The references in a body's top-level fields. Raises `InvalidRequest` for more than a body may name."""
    found: list[Reference] = []
    for name, raw in fields.items():
        if name in _PRIVATE:
            continue
        value = bytes(raw)
        if name in HOLDER_NAMES and value[:1] == b'"':
            continue
        if name in NAMES:
            read_value = _read(value)
            _take(name, read_value, found)
            _walk(name, read_value, found)
        elif value[:1] in (b"{", b"[") and (name in _READ or may_name(value, _ALL)):
            _walk(name, _read(value), found)
    return tuple(dict.fromkeys(found))


def may_name(value: bytes, words: tuple[bytes, ...], large: bool = False) -> bool:
    """Whether nested values may name anything; the other names stand at the top only."""
    lowered = value.lower()
    for word in words:
        # From the end: in a long text that is several times the speed of a search from the beginning.
        if contains_rare(lowered, word, b"_") if large and b"_" in word else lowered.rfind(word) >= 0:
            if word != b"_id":
                return True
            # Many bodies have such a name, and few of them one that matters.
            if any(lowered.rfind(one) >= 0 for one in (*_WORDS, *_OTHER_LETTERS)):
                return True
    return _BACKSLASH in value and _has_escaped_letters(value)


def _has_escaped_letters(value: bytes) -> bool:
    if value.rfind(b"\\u00") >= 0 and _ESCAPED.search(value) is not None:
        return True
    return (value.rfind(b"\\u017") >= 0 or value.rfind(b"\\u212") >= 0) and _OTHER_ESCAPED.search(value) is not None


def _read(value: bytes) -> Any:
    if _has_too_many(value):
        raise InvalidRequest(
            f"The request names objects and holds more than {MAX_VALUES} values; only smaller ones can be searched."
        )
    try:
        return read(value)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The request body could not be read.") from error


def _has_too_many(value: bytes) -> bool:
    """Whether a JSON text holds more values than are read: counted without reading them."""
    if value.count(b",") + value.count(b"[") + value.count(b"{") <= MAX_VALUES:
        return False
    count = 0
    for token in _TOKEN.finditer(value):
        if value[token.start()] != _QUOTE:
            count += 1
            if count > MAX_VALUES:
                return True
    return False


def _walk(holder: str, value: Any, found: list[Reference]) -> None:
    """Collect what a value names below the top; `holder` is the name of its field."""
    if isinstance(value, Pairs):
        kinds = [inner for name, inner in value if name.casefold() == "type"]
        for written, inner in value:
            name = guarded_name(written)
            if name == "skill_id" and kinds == ["anthropic"]:
                # One of the provider's own.
                continue
            if name in NAMES:
                _take(name, inner, found)
            if not isinstance(inner, list) or name in _PRIVATE or (holder, name) in _PRIVATE_IN:
                continue
            if name == "input" and kinds and all(isinstance(kind, str) and kind in _TOOL_USE for kind in kinds):
                continue
            _walk(name, inner, found)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, list):
                _walk(holder, inner, found)


def _take(name: str, value: Any, found: list[Reference]) -> None:
    """Collect the ids in a field's value. Raises `InvalidRequest` for more than a body may name."""
    for id_ in _ids(name, value):
        found.append((name, id_))
        if len(found) > MAX_REFERENCES:
            raise InvalidRequest(f"The request names more than {MAX_REFERENCES} objects.")


def _ids(name: str, value: Any) -> Iterable[str]:
    if isinstance(value, str):
        if name in HOLDER_NAMES or (name in ("fileUri", "file_uri") and not is_of_account(value)):
            return ()
        return (value,)
    if isinstance(value, Pairs):
        return [inner for key, inner in value if key.casefold() == "id" and isinstance(inner, str)]
    if isinstance(value, list):
        held = [id_ for inner in value if isinstance(inner, Pairs) for id_ in _ids(name, inner)]
        if name in HOLDER_NAMES:
            return held
        return [inner for inner in value if isinstance(inner, str)] + held
    return ()


def is_of_account(uri: str) -> bool:
    """Whether what Gemini calls a file's URI may be a file of the account, and no address of the world."""
    if len(uri) > _MAX_URI_CHARACTERS:
        return True
    plain = unquote(uri).strip()
    return _WEB.match(plain) is None or _AT_GOOGLE.search(plain) is not None
