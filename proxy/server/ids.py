"""Request ids: unique, not secret."""

import random


def new_request_id() -> str:
    """A fresh request id. Python seeds the generator anew in every process."""
    return f"req_{random.getrandbits(128):032x}"
