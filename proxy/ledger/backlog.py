"""What of a journal's segments is not stored in the database yet. Counts only: no file is read or written here."""

from collections.abc import Mapping


class Segment:
    """A segment that is open, or was until its end: an identity that lasts, where a descriptor's number is reused."""

    def __init__(self, name: str, number: int, descriptor: int, rotate_at: int = 0) -> None:
        self.name = name
        self.number = number
        self.descriptor = descriptor
        #: Length in bytes at which the next segment begins.
        self.rotate_at = rotate_at
        #: Bytes of whole records, and of those that are stored.
        self.length = 0
        self.stored = 0
        #: Nothing is appended any more.
        self.ended = False


class Backlog:
    """The segments of one journal that are not known to be stored, and the bytes that wait in them."""

    def __init__(self, max_bytes: int) -> None:
        #: Unstored bytes from which on new requests are refused.
        self.max_bytes = max_bytes
        self.unstored = 0
        self._segments: dict[str, Segment] = {}

    @property
    def is_full(self) -> bool:
        """Whether new requests are to be refused."""
        return self.unstored >= self.max_bytes

    def add(self, segment: Segment) -> None:
        """Count a new segment."""
        self._segments[segment.name] = segment

    def positions(self) -> dict[str, int]:
        """Bytes of whole records in each segment that is not known to be stored to its end."""
        return {name: segment.length for name, segment in self._segments.items()}

    def is_stored(self, positions: Mapping[str, int]) -> bool:
        """Whether everything up to earlier `positions` is stored."""
        segments = self._segments
        return all(name not in segments or segments[name].stored >= length for name, length in positions.items())

    def acknowledge(self, name: str, offset: int) -> None:
        """Note that the first `offset` bytes of a segment are stored. Unknown segments are ignored."""
        segment = self._segments.get(name)
        if segment is None:
            return
        stored = max(segment.stored, min(offset, segment.length))
        self.unstored -= stored - segment.stored
        segment.stored = stored
        if segment.ended and stored == segment.length:
            del self._segments[name]
