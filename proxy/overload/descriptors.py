"""The grade of the process's file descriptors, and which are left for connections. It closes no connection."""

import sys
from typing import Final

from proxy.overload.grades import GRADE_RATIOS, Gauge
from proxy.overload.readings import Readings

#: Ratio of the descriptors above which they are for files only: upstreams have those between the last grade and this.
FILES_RATIO: Final = 0.98
#: Sweeps between two counts of the descriptors.
COUNT_SWEEPS: Final = 5


class DescriptorGauge(Gauge):
    """Grades open descriptors as a ratio of their limit."""

    def __init__(self) -> None:
        super().__init__(*GRADE_RATIOS)
        self._sweeps = 0
        #: At the last count.
        self.open = 0
        self.max_open = 1
        #: Descriptors from which on they are no more for clients, and no more for upstreams.
        self.end_of_clients = sys.maxsize
        self.end_of_upstreams = sys.maxsize

    def sample(self, readings: Readings, now: float) -> None:
        """Count, at every COUNT_SWEEPS-th call; `now` is in monotonic seconds."""
        if self._sweeps % COUNT_SWEEPS == 0:
            self.open, self.max_open = readings.descriptors()
            self.update(self.open / self.max_open, now)
            if self.open:
                self.end_of_clients = int(self.max_open * GRADE_RATIOS[-1])
                self.end_of_upstreams = int(self.max_open * FILES_RATIO)
        self._sweeps += 1

    def exhausted(self, readings: Readings, now: float) -> None:
        """Grade the descriptors as exhausted without waiting for the next count: a client has got one of the last."""
        self.open, self.max_open = readings.descriptors()
        self.update(1.0, now)
