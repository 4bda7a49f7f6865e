"""JSON values and texts that are odd in one place: the part of the fuzzer that knows no HTTP.

Pure: everything comes from the `random.Random` that is passed in, so that a case is the same each time.
"""

import random
from typing import Any

import msgspec

#: Raw JSON that no encoder would write, or that readers disagree on.
ODD_TOKENS = (
    *(b"null", b"true", b"false", b"0", b"-1", b"1.5", b"1e3", b"1e400", b"-0", b'""', b'" "', b"[]", b"{}", b"[[]]"),
    *(b"281474976710655", b"281474976710657", b"1000000000001", b"9223372036854775808", b"-9223372036854775809"),
    *(b"NaN", b"Infinity", b"-Infinity", b'"\\ud83d"', b'"\\udcaf\\ud83d"', b'"\\u0000"', b'"\xff"', b"'x'", b"01"),
    *(b'"stop"', b'"error"', b'{"error":{"message":"odd"}}', b'[{"model":"odd"}]', b'"data: [DONE]"', b"[null]"),
    *(b'{"a":1,"a":2}', b"[" * 70 + b"]" * 70, b'"' + b"x" * 5_000 + b'"', b"\xe2\x80\xa8", b""),
)
#: Names that readers look for, put where they do not belong.
NAMES = (
    *("model", "Model", "usage", "error", "choices", "delta", "finish_reason", "stream", "type", "message", "id"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens"),
    *("promptTokenCount", "candidatesTokenCount", "usageMetadata", "modelVersion", "response", "stop_reason", "index"),
)


def dumps(value: Any) -> bytes:
    """A value as compact JSON; `Raw` stands as it is."""
    return msgspec.json.encode(value)


def disturbed(chance: random.Random, value: Any) -> bytes:
    """A value as JSON, broken or changed in one place."""
    places = list(_places(value))
    if not places or chance.random() < 0.1:
        return disturbed_bytes(chance, dumps(value))
    parent, at = chance.choice(places)
    change = chance.randrange(5)
    if change == 0 and isinstance(parent, dict):
        del parent[at]
    elif change == 1 and isinstance(parent, dict):
        parent[chance.choice(NAMES)] = parent[at]
    elif change == 2 and isinstance(parent, dict):
        # The same name twice: written by hand, since no encoder does.
        marker = "@twice@"
        parent[marker] = parent[at]
        return dumps(value).replace(b'"' + marker.encode() + b'"', dumps(at), 1)
    elif change == 3 and isinstance(parent, list):
        parent.append(parent[at])
    else:
        marker = "@odd@"
        parent[at] = marker
        return dumps(value).replace(dumps(marker), chance.choice(ODD_TOKENS), 1)
    return dumps(value)


def disturbed_bytes(chance: random.Random, data: bytes) -> bytes:
    """Bytes that are cut, doubled, changed or interrupted in one place."""
    if not data:
        return chance.choice(ODD_TOKENS)
    at = chance.randrange(len(data))
    end = min(len(data), at + chance.randrange(1, 40))
    change = chance.randrange(6)
    if change == 0:
        return data[:at]
    if change == 1:
        return data[:at] + data[end:]
    if change == 2:
        return data[:end] + data[at:]
    if change == 3:
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    if change == 4:
        return (
            data[:at]
            + chance.choice((b"\n", b"\r\n", b"\x00", b'"', b"\\", b"}", b"\n\n", b"\xef\xbb\xbf"))
            + data[at:]
        )
    return chance.choice((b"\xef\xbb\xbf", b"\n", b" \r\n\t", b"\x00")) + data


def cut(chance: random.Random, data: bytes) -> list[bytes]:
    """Bytes in a few pieces, none of them empty."""
    count = chance.choice((1, 1, 2, 2, 3, 8))
    cuts = sorted({chance.randrange(1, len(data)) for _ in range(count - 1)}) if len(data) > 1 else []
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if end > begin]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a value that holds another: its parent, and the key or index there."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += [(value, name), *_places(inner)]
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            found += [(value, at), *_places(inner)]
    return found
