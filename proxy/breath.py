"""The turn of the event loop: what works in a thread beside it gives it one often.

Nothing is known here of what is worked on.
"""

import time

# Python itself would let the loop wait for as long as its switch interval, and the system for as long as its time
# slice. A sleep of 0 is too short for the loop's thread to wake and take its turn.
_SECONDS = 0.0001


def breathe() -> None:
    """Let the event loop have its turn. For work in a thread, after each fraction of a millisecond of it."""
    time.sleep(_SECONDS)
