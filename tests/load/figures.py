"""The figures of a suite: what was counted, and whether it lies within its bound."""

import statistics
from collections.abc import Sequence


class Figures:
    """Collects figures; `show` prints them, `failures` are those beyond their bound."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._lines: list[tuple[str, str]] = []
        self.failures: list[str] = []

    def tell(self, name: str, value: object) -> None:
        """A figure without a bound."""
        self._lines.append((name, _text(value)))

    def at_most(self, name: str, value: float, bound: float) -> None:
        """A figure that must not pass its bound."""
        self._judge(name, f"{_text(value)} (at most {_text(bound)})", value <= bound)

    def at_least(self, name: str, value: float, bound: float) -> None:
        """A figure that must reach its bound."""
        self._judge(name, f"{_text(value)} (at least {_text(bound)})", value >= bound)

    def equal(self, name: str, value: object, wanted: object) -> None:
        """A figure that must be this."""
        self._judge(name, _text(value) if value == wanted else f"{value} (must be {wanted})", value == wanted)

    def unchanged(self, name: str, value: object, before: object) -> None:
        """What must be as it was."""
        self._judge(name, "yes" if value == before else f"{value} (was {before})", value == before)

    def show(self) -> int:
        """Print them all; the exit status."""
        width = max(len(name) for name, _ in self._lines)
        print(f"\n{self._title}")
        for name, text in self._lines:
            print(f"  {name:<{width}}  {text}")
        print("  all within their bounds" if not self.failures else f"  FAILED: {'; '.join(self.failures)}", flush=True)
        return 1 if self.failures else 0

    def _judge(self, name: str, text: str, good: bool) -> None:
        self._lines.append((name, text if good else f"{text}  <-- FAILED"))
        if not good:
            self.failures.append(f"{name}: {text}")


def percentile(ordered: Sequence[float], share: float) -> float:
    """A percentile of values in order, by the nearest rank; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def growth(points: Sequence[tuple[float, float]]) -> float:
    """By how much values grow from the first to the last moment, by the line that fits (moment, value) best."""
    if len(points) < 2:
        return 0.0
    slope, _ = statistics.linear_regression([at for at, _ in points], [value for _, value in points])
    return slope * (points[-1][0] - points[0][0])
