"""The generic cell rate algorithm: a rate with a burst, kept in one integer for each subject.

The integer is the theoretical arrival time (TAT): when everything that was taken will have come back. What is taken
moves it into the future by so many nanoseconds, and at most the burst's worth of them may lie there. Pure: no clock, no
memory. Times and costs are whole nanoseconds; a cost is rounded down, by less than one.
"""

from typing import Final

#: Nanoseconds that an overrun may move a TAT into the future: a year. No count of tokens may end beyond 64 bits.
MAX_AHEAD: Final = 366 * 86_400 * 10**9


class Gcra:
    """One rate: `amount` in `period` nanoseconds, and `burst` of it at once."""

    def __init__(self, amount: int, period: int, burst: int) -> None:
        self.amount = amount
        self.period = period
        self.burst = burst
        #: How far ahead of now a TAT may be.
        self.window = burst * period // amount

    def cost(self, count: int) -> int:
        """The nanoseconds that so many move the TAT."""
        return count * self.period // self.amount

    def taken(self, tat: int, now: int, count: int) -> int:
        """The TAT after so many were taken. They may be if it is at most `window` ahead; `wait` says how long until."""
        return (tat if tat > now else now) + count * self.period // self.amount

    def wait(self, end: int, now: int) -> int:
        """Nanoseconds until what would move the TAT to `end` may be taken; 0 or less is now."""
        return end - now - self.window

    def remaining(self, tat: int, now: int) -> int:
        """How many could be taken now; never below 0."""
        left = self.window - (tat - now) if tat > now else self.window
        return left * self.amount // self.period if left > 0 else 0

    def refunded(self, tat: int, now: int, count: int, unused: int, end: int) -> int:
        """The TAT after `unused` of the `count` that moved it to `end` were given back; never below now.

        What has come back by itself meanwhile is not given back again: the first part of what was taken comes back
        first, and the unused part last.
        """
        back = min(self.cost(count) - self.cost(count - unused), end - now)
        if back <= 0:
            return tat
        return max(tat - back, now)

    def overrun(self, tat: int, now: int, count: int) -> int:
        """The TAT after so many were used beyond what was taken, whatever the limit; at most `MAX_AHEAD` of now."""
        return min(self.taken(tat, now, count), now + MAX_AHEAD)
