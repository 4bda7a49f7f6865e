"""The times to the first content of one target: a peak-EWMA for choosing between targets, and recent quantiles.

Pure: times are passed in, in monotonic seconds. Seconds here are normalised by the size of the request, so that a
target that gets the long prompts does not look slow: `size_factor` is what they are divided by.
"""

import math
from typing import Final

#: Seconds in which an old time to the first content counts for a third: a target that has become fast is one again.
DECAY_SECONDS: Final = 10.0
#: Bytes of text of a request that takes twice as long to its first content as an empty one.
BYTES_OF_TWICE: Final = 16_000.0
#: Times that the quantiles are of, and after how many new ones they are sorted again.
MAX_SAMPLES: Final = 128
SAMPLES_A_TURN: Final = 8


def size_factor(text_bytes: int) -> float:
    """How many times as long as an empty request one with so many bytes of text takes to its first content."""
    return 1.0 + text_bytes / BYTES_OF_TWICE


class Latency:
    """The times to the first content of one target."""

    __slots__ = ("_at", "_ordered", "_samples", "count", "peak")

    def __init__(self) -> None:
        #: Peak-EWMA: raised at once by a longer time, lowered slowly by shorter ones. 0.0 before the first one.
        self.peak = 0.0
        #: How many there were that were not hedged.
        self.count = 0
        #: The last ones of them; and those in order, with how many there had been: sorted when a quantile is read.
        self._samples: list[float] = []
        self._ordered: tuple[int, list[float]] = (0, [])
        self._at = -math.inf

    def observe(self, seconds: float, now: float, hedged: bool = False) -> None:
        """Note a normalised time to the first content.

        Of a `hedged` request it is the faster of two, which says little of one: it is left out of the quantiles.
        """
        if seconds >= self.peak:
            self.peak = seconds
        else:
            old = math.exp((self._at - now) / DECAY_SECONDS)
            self.peak = self.peak * old + seconds * (1.0 - old)
        self._at = now
        if hedged:
            return
        samples, count = self._samples, self.count
        if len(samples) < MAX_SAMPLES:
            samples.append(seconds)
        else:
            samples[count % MAX_SAMPLES] = seconds
        self.count = count + 1

    @property
    def p50(self) -> float:
        """The median of the last times; 0.0 before there are any."""
        return self._quantile(5)

    @property
    def p90(self) -> float:
        """What nine of ten of the last times were below; 0.0 before there are any."""
        return self._quantile(9)

    def _quantile(self, tenths: int) -> float:
        count, (known, ordered) = self.count, self._ordered
        if count != known and (known < SAMPLES_A_TURN or count - known >= SAMPLES_A_TURN):
            ordered = sorted(self._samples)
            self._ordered = (count, ordered)
        return ordered[len(ordered) * tenths // 10] if ordered else 0.0

    def waited(self, seconds: float, now: float) -> None:
        """No content came in this normalised time, and the request was given up: it would have taken longer."""
        if seconds > self.peak:
            self.peak = seconds
            self._at = now

    def is_stale(self, now: float) -> bool:
        """Whether the last time to the first content is too old to say how fast the target is now."""
        return now - self._at > DECAY_SECONDS
