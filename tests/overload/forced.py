"""Readings that a test makes up."""

from proxy.overload.readings import Readings

#: Of so many descriptors: more than any test has open, so that none of its own is among the last ones.
MOST = 1_000_000


class Forced(Readings):
    """Shares in place of what the kernel says."""

    def __init__(self, max_memory: int = 0) -> None:
        super().__init__()
        self._max_memory = max_memory
        self.memory_share = 0.0
        self.descriptor_share = 0.0
        self.descriptors_free = 0

    def resident(self) -> int:
        return int(self.memory_share * self._max_memory)

    def lowest_free(self) -> int:
        return self.descriptors_free

    def descriptors(self) -> tuple[int, int]:
        return int(self.descriptor_share * MOST), MOST
