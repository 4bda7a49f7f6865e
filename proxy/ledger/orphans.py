"""Bills of killed processes that those had no time to count: found by the ingester, in the journals that it removes.

A process counts its bills a moment after it has written them. How far it had come is known to its gateway by the
position in its journal; what lies behind that is read once more before the segment goes. Journals of other gateways,
and of earlier ones, have no such position, and nothing of them is counted.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from proxy.ledger import segments
from proxy.ledger.record import UsageRecord

#: Owner of a journal -> (its name, the number of a segment, the bytes of that which are counted); None for a stranger.
CountedUntil = Callable[[str], tuple[str, int, int] | None]
CountOrphans = Callable[[list[UsageRecord]], None]
#: Segments of one owner whose bills wait to be counted: far more than a process leaves.
_MAX_FOUND: Final = 100_000
_FINAL: Final = b'{"event":"final",'
_decode: Final = msgspec.json.Decoder(UsageRecord).decode


class Orphans:
    """The bills of dead owners that are still to be counted. `count_found` is called on the event loop, the other
    methods in the ingester's thread; no two at a time."""

    def __init__(self, journal: Path, counted_until: CountedUntil, count: CountOrphans) -> None:
        self._journal = journal
        self._counted_until = counted_until
        self._count = count
        self._found: deque[UsageRecord] = deque(maxlen=_MAX_FOUND)

    def uncounted(self, name: str) -> list[UsageRecord]:
        """The bills in a closed segment that its owner has not counted. Raises OSError."""
        position = self._counted_until(segments.owner_of(name))
        if position is None:
            return []
        _, number, offset = position
        own = segments.number_of(name)
        if own < number:
            return []
        with (self._journal / name).open("rb") as file:
            file.seek(offset if own == number else 0)
            return [record for line in file if line.startswith(_FINAL) and (record := _read(line)) is not None]

    def add(self, finals: list[UsageRecord]) -> None:
        """Have these counted."""
        self._found.extend(finals)

    def add_interrupted(self, finals: list[tuple[str, UsageRecord]]) -> None:
        """Have the rows of requests counted that an owner of this gateway left open."""
        self._found.extend(final for owner, final in finals if self._counted_until(owner) is not None)

    def count_found(self) -> None:
        """Count what was found."""
        if self._found:
            found = list(self._found)
            self._found.clear()
            self._count(found)


def _read(line: bytes) -> UsageRecord | None:
    """The bill of a line; None for one that is damaged, which the ingester has put aside."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
