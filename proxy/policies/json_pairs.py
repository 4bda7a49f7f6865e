"""A JSON object as (key, value) pairs, so that duplicate keys are kept: upstreams disagree on which one wins.

Not compiled, as the code that uses it is (setup.py): a subclass of list cannot be.
"""

import json
from typing import Any


class Pairs(list[tuple[str, Any]]):
    """The (key, value) pairs of one JSON object, in their order."""


def read(value: bytes) -> Any:
    """A JSON value whose objects are `Pairs`. Raises `ValueError` and `RecursionError`."""
    return json.loads(value, object_pairs_hook=Pairs)
