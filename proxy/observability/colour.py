"""Decides whether text output is coloured: on a terminal, unless the environment overrides it. JSON never is."""

from collections.abc import Mapping
from typing import TextIO


def may_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether text on a stream may be coloured: NO_COLOR disables it, FORCE_COLOR enables it unless it is 0.

    Empty variables count as not set.
    """
    forced = environment.get("FORCE_COLOR", "")
    if environment.get("NO_COLOR") or forced == "0":
        return False
    if forced:
        return True
    return stream.isatty() and environment.get("TERM") != "dumb"
