"""Whether text for people may be coloured: on a terminal, unless the environment says otherwise.

Pure but for the stream that is asked; JSON is never coloured, whatever is answered here.
"""

from collections.abc import Mapping
from typing import TextIO


def may_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """NO_COLOR forbids it and FORCE_COLOR demands it, if they are not empty; a FORCE_COLOR of 0 forbids it too."""
    forced = environment.get("FORCE_COLOR", "")
    if environment.get("NO_COLOR") or forced == "0":
        return False
    if forced:
        return True
    return stream.isatty() and environment.get("TERM") != "dumb"
