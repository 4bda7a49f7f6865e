"""The failed attempts of a request, as its row holds them: JSON, so that one column does for all. Values only."""

from typing import Final

import msgspec

#: The most attempts that a row holds: the first ones.
MAX_TRIES: Final = 32


class Try(msgspec.Struct, frozen=True, array_like=True):
    """An attempt at an upstream that failed."""

    #: "upstream/model".
    target: str
    #: An error code.
    cause: str
    #: Milliseconds from the arrival of the request to the failure.
    milliseconds: int


def encode(tries: tuple[Try, ...]) -> str:
    """What a row holds of them; empty for none."""
    return msgspec.json.encode(tries[:MAX_TRIES]).decode() if tries else ""


def decode(text: str) -> tuple[Try, ...]:
    """The reverse of `encode`; nothing of what is damaged."""
    if not text:
        return ()
    try:
        return msgspec.json.decode(text, type=tuple[Try, ...])
    except msgspec.MsgspecError:
        return ()
