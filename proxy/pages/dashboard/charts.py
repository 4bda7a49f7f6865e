"""Charts: bars stacked by group as SVG, drawn here so that pages need no script, and the same as data for the script.

Nothing of them is a style: colours are classes. All coordinates are whole numbers.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from proxy.ledger.board_values import Series, Totals
from proxy.pages.dashboard.figures import Figures

WIDTH: Final = 1_000
HEIGHT: Final = 220
#: Below the bars, for the names of periods.
_AXIS: Final = 18
#: Names of periods that have room.
_MAX_LABELS: Final = 12
_GRID: Final = 4
#: Values at the top of a chart, in tenths of a power of ten.
_TOPS: Final = (10, 12, 16, 20, 24, 32, 40, 48, 60, 80, 100)


class Bar(NamedTuple):
    """A piece of a bar: one group in one period."""

    x: int
    y: int
    width: int
    height: int
    colour: int
    title: str


class Label(NamedTuple):
    """A text in the chart."""

    x: int
    y: int
    text: str


class ChartLegend(NamedTuple):
    """A group of a chart, with its colour and its sum."""

    group: str | None
    name: str
    colour: int
    total: str


class Chart(NamedTuple):
    """A chart of stacked bars."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    #: Names of periods below, and of values at the grid's lines.
    labels: tuple[Label, ...]
    grid: tuple[Label, ...]
    legend: tuple[ChartLegend, ...]
    #: The periods and the values of the table, one row each.
    table: tuple[tuple[str, tuple[str, ...]], ...]
    #: The points of a line: the sums of the period before.
    previous: str
    #: For the script.
    data: dict[str, Any]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was used in the time."""
        return not self.bars


def value_of(totals: Totals, metric: str) -> int:
    """What a chart shows of a period; of money the part that is known."""
    if metric == "cost":
        return totals.cost
    if metric == "tokens":
        return totals.input_tokens + totals.output_tokens
    return totals.errors if metric == "errors" else totals.requests


def text_of(value: int, metric: str, figures: Figures) -> str:
    """A value with its unit."""
    return figures.money(value).text if metric == "cost" else figures.short(value)


def stacked(
    series: Series,
    metric: str,
    step: str,
    figures: Figures,
    named: Mapping[str, str],
    before: Series | None = None,
) -> Chart:
    """Draw a chart: the largest group is at the bottom; the sums of the period before are a line over it."""
    count = len(series.starts)
    values = [[value_of(one, metric) for one in line.values] for line in series.lines]
    sums = [sum(column) for column in zip(*values, strict=True)] if values else [0] * count
    past = [value_of(one, metric) for one in before.lines[0].values][:count] if before and before.lines else []
    top = nice_top(max([*sums, *past], default=0))
    names = ["other" if line.group is None else named.get(line.group, line.group) for line in series.lines]
    periods = [figures.period(start, step) for start in series.starts]
    bars: list[Bar] = []
    plot = HEIGHT - _AXIS
    for place in range(count):
        left, right = place * WIDTH // count, (place + 1) * WIDTH // count
        gap = max(1, (right - left) // 6) if right - left > 2 else 0
        below = 0
        for number, line in enumerate(values):
            if line[place] > 0:
                low, high = below * plot // top, (below + line[place]) * plot // top
                below += line[place]
                title = f"{periods[place]}, {names[number]}: {text_of(line[place], metric, figures)}"
                bars.append(
                    Bar(
                        left + gap // 2,
                        plot - high,
                        right - left - gap,
                        max(high - low, 1),
                        colour_of(number, names),
                        title,
                    )
                )
    every = -(-count // _MAX_LABELS) if count else 1
    labels = [
        Label((2 * place + 1) * WIDTH // (2 * count), HEIGHT - 4, periods[place]) for place in range(0, count, every)
    ]
    grid = [
        Label(0, plot - plot * number // _GRID, text_of(top * number // _GRID, metric, figures))
        for number in range(1, _GRID + 1)
    ]
    legend = [
        ChartLegend(line.group, names[number], colour_of(number, names), text_of(sum(values[number]), metric, figures))
        for number, line in enumerate(series.lines)
    ]
    table = [
        (periods[place], tuple(text_of(line[place], metric, figures) for line in values)) for place in range(count)
    ]
    unit = 1_000_000_000 if metric == "cost" else 1
    data = {
        "starts": list(series.starts),
        "step": step,
        "zone": figures.zone,
        "periods": periods,
        "metric": metric,
        "previous": [one / unit for one in past],
        "lines": [
            {"name": name, "values": [one / unit for one in line]} for name, line in zip(names, values, strict=True)
        ],
    }
    points = " ".join(
        f"{(2 * at + 1) * WIDTH // (2 * count)},{plot - one * plot // top}" for at, one in enumerate(past)
    )
    return Chart(WIDTH, HEIGHT, tuple(bars), tuple(labels), tuple(grid), tuple(legend), tuple(table), points, data)


def colour_of(number: int, names: list[str]) -> int:
    """The number of a line's colour; 9 is that of all others."""
    return 9 if names[number] == "other" and number == len(names) - 1 else number % 8 + 1


def nice_top(most: int) -> int:
    """The value at the top of a chart: the next of 1, 2, 4, 6, 8 times a power of ten. At least 4."""
    unit = 4
    if most <= unit:
        return unit
    power: int = 10 ** (len(str(most)) - 1)
    return next(step * power // 10 for step in _TOPS if step * power >= most * 10)


def sparkline(values: list[int], width: int = 80, height: int = 18) -> str:
    """The points of a polyline, for a row of a table; empty where there is nothing to draw."""
    most = max(values, default=0)
    if most <= 0 or len(values) < 2:
        return ""
    last = len(values) - 1
    return " ".join(
        f"{place * width // last},{height - 1 - value * (height - 2) // most}" for place, value in enumerate(values)
    )
