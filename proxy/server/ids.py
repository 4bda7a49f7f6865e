"""Request ids: unique, in the order of time, not secret."""

import random
import time
from typing import Final

_random_bits: Final = random.getrandbits


def new_request_id() -> str:
    """A fresh request id. Python seeds the generator anew in every process.

    It begins with the time, so that rows that are stored one after the other lie side by side in the ledger's index:
    ids without an order would each touch another page of it.
    """
    begin = (time.time_ns() >> 20).to_bytes(6, "big")
    return "req_" + (begin + _random_bits(80).to_bytes(10, "big")).hex()
