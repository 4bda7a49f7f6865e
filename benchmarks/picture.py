"""A picture of the times to first token: one curve for each system, as an SVG written by hand. Pure.

The axis of times is logarithmic: systems that differ a hundredfold still fit on one picture.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 860, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 170, 56, 56
#: Distinguishable with colour blindness, too.
_COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f")
_SHARES = (0, 25, 50, 75, 90, 99, 100)
#: Kept of 101 percentiles: the first and the last are single requests.
_LOWEST, _HIGHEST = 1, 99


def distribution(title: str, curves: Mapping[str, Sequence[float]]) -> str:
    """The SVG. Each curve is the percentiles 0 to 100 in microseconds; one without all of them is left out."""
    drawn = {name: values for name, values in curves.items() if len(values) == 101}
    times = [max(value, 0.1) for values in drawn.values() for value in values[_LOWEST : _HIGHEST + 1]]
    low = 10 ** math.floor(math.log10(min(times, default=10)))
    high = 10 ** math.ceil(math.log10(max(times, default=1000) * 1.01))

    def across(value: float) -> float:
        share = math.log(max(value, low) / low) / math.log(high / low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def down(percent: float) -> float:
        return round(_HEIGHT - _BOTTOM - percent / 100 * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="28" font-size="15">{escape(title)}</text>',
    ]
    parts += _grid(low, high, across, down)
    for values, colour in zip(drawn.values(), _COLOURS, strict=False):
        points = " ".join(f"{across(values[at])},{down(at)}" for at in range(_LOWEST, _HIGHEST + 1))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    parts += _legend(drawn)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid(low: float, high: float, across: Callable[[float], float], down: Callable[[float], float]) -> list[str]:
    right, bottom = across(high), down(0)
    parts = []
    for percent in _SHARES:
        y = down(percent)
        parts.append(f'<line x1="{_LEFT}" y1="{y}" x2="{right}" y2="{y}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{percent} %</text>')
    decade = low
    while decade <= high:
        for step in (1, 2, 5):
            if decade * step <= high:
                x = across(decade * step)
                parts.append(f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}" stroke="#dddddd"/>')
                parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{_time(decade * step)}</text>')
        decade *= 10
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">time to first token, p1 to p99</text>')
    return parts


def _legend(drawn: Mapping[str, Sequence[float]]) -> list[str]:
    parts = []
    for number, ((name, values), colour) in enumerate(zip(drawn.items(), _COLOURS, strict=False)):
        x, y = _WIDTH - _RIGHT + 14, _TOP + 12 + 22 * number
        parts.append(f'<line x1="{x}" y1="{y - 4}" x2="{x + 18}" y2="{y - 4}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 24}" y="{y}">{escape(name)}, {_time(values[50])}</text>')
    return parts


def _time(microseconds: float) -> str:
    if microseconds >= 1_000_000:
        return f"{microseconds / 1_000_000:g} s"
    if microseconds >= 1000:
        return f"{float(f'{microseconds / 1000:.3g}'):g} ms"
    return f"{float(f'{microseconds:.3g}'):g} µs"
