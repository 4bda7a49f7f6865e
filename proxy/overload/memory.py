"""The grade of the process's memory. It gives free memory back to the kernel before it grades, at intervals."""

from typing import Final

from proxy.overload.grades import GRADE_RATIOS, Gauge
from proxy.overload.malloc import give_back
from proxy.overload.readings import Readings

#: Minimum seconds between two times that free memory is given back to the kernel.
GIVE_BACK_SECONDS: Final = 2.0


class MemoryGauge(Gauge):
    """Grades resident memory as a ratio of `max_bytes`."""

    def __init__(self) -> None:
        super().__init__(*GRADE_RATIOS)
        #: Maximum of resident bytes; it is configured.
        self.max_bytes = 1
        self._give_back_at = 0.0

    def sample(self, readings: Readings, now: float) -> None:
        """Measure at `now`, in monotonic seconds. Memory that is free, but not given back yet, refuses no request."""
        ratio = readings.resident() / self.max_bytes
        if ratio >= GRADE_RATIOS[0] and now >= self._give_back_at:
            self._give_back_at = now + GIVE_BACK_SECONDS
            give_back()
            ratio = readings.resident() / self.max_bytes
        self.update(ratio, now)
