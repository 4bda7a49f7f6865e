"""Request ids: unique and ordered by time. They are no secrets."""

import random
import time
from typing import Final

_random_bits: Final = random.getrandbits


def new_request_id() -> str:
    """A new request id, such as `req_` and 32 hexadecimal digits.

    It begins with the time, in steps of about a millisecond, so that rows which are stored one after the other lie side
    by side in the ledger's index: ids without an order would each touch another page. Python seeds the generator of the
    rest anew in every process.
    """
    begin = (time.time_ns() >> 20).to_bytes(6, "big")
    return "req_" + (begin + _random_bits(80).to_bytes(10, "big")).hex()
