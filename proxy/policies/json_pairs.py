"""A JSON object with all its keys, the repeated ones too: what a reader sees that takes another one than the last.

It stands apart from the code that uses it: that is compiled (setup.py), and a kind of list cannot be.
"""

import json
from typing import Any


class Pairs(list[tuple[str, Any]]):
    """See the module."""


def read(value: bytes) -> Any:
    """A JSON value whose objects are `Pairs`. Raises `ValueError` and `RecursionError`."""
    return json.loads(value, object_pairs_hook=Pairs)
