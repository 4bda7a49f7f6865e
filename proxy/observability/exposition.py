"""Renders metrics for Prometheus: the text format 0.0.4, and OpenMetrics 1.0 for those that ask for it. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from proxy.clock.gil import yield_gil
from proxy.observability.metrics import Histogram, Labels, Snapshot

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
#: (name of a label, its value) -> the value that is visible.
Visible = Callable[[str, str], str]
_OPENMETRICS: Final = "application/openmetrics-text"
_ESCAPES: Final = {"\\": "\\\\", "\n": "\\n", '"': '\\"'}
_ESCAPED: Final = re.compile(r'[\\\n"]')
_ESCAPED_HELP: Final = re.compile(r"[\\\n]")
_TOTAL: Final = "_total"


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header names OpenMetrics, and prefers the text format to it by no weight."""
    weights = {_OPENMETRICS: 0.0, "text/plain": 0.0}
    for part in accept.split(","):
        kind, *parameters = (one.strip().lower() for one in part.split(";"))
        if kind in weights:
            weights[kind] = max([_weight(one) for one in parameters if one.startswith("q=")], default=1.0)
    return weights[_OPENMETRICS] > 0 and weights[_OPENMETRICS] >= weights["text/plain"]


def render(snapshots: Iterable[Snapshot], openmetrics: bool, visible: Visible | None = None) -> bytes:
    """All families, in the order of their names. Series that `visible` makes the same are added up."""
    lines: list[str] = []
    for snapshot in sorted(snapshots, key=lambda one: one.family.name):
        lines += _family(snapshot, openmetrics, visible)
        yield_gil()
    if openmetrics:
        lines.append("# EOF")
    return "\n".join([*lines, ""]).encode()


def _family(snapshot: Snapshot, openmetrics: bool, visible: Visible | None) -> Iterator[str]:
    family = snapshot.family
    name = family.name
    # In OpenMetrics a counter's samples end in _total, and its family does not.
    named = name.removesuffix(_TOTAL) if openmetrics and family.kind == "counter" else name
    yield f"# HELP {named} {_escaped_help(family.help, openmetrics)}"
    yield f"# TYPE {named} {family.kind}"
    if family.kind == "gauge":
        gauges: dict[Labels, float] = {}
        for labels, value in snapshot.gauges.items():
            labels = _visible(family.labels, labels, visible)
            gauges[labels] = gauges[labels] + value if labels in gauges else value
        for labels, value in sorted(gauges.items()):
            yield f"{name}{_labels(family.labels, labels)} {number(value)}"
        return
    values: dict[Labels, list[int]] = {}
    for labels, cells in snapshot.values.items():
        labels = _visible(family.labels, labels, visible)
        before = values.get(labels)
        values[labels] = [a + b for a, b in zip(before, cells, strict=True)] if before is not None else cells
    for labels, cells in sorted(values.items()):
        if isinstance(family, Histogram):
            yield from _histogram(family, labels, cells)
        else:
            yield f"{name}{_labels(family.labels, labels)} {decimal(cells[0], family.scale)}"


def _histogram(family: Histogram, labels: Labels, cells: list[int]) -> Iterator[str]:
    name, count = family.name, 0
    for bound, cell in zip((*family.bounds, math.inf), cells, strict=False):
        count += cell
        yield f"{name}_bucket{_labels((*family.labels, 'le'), (*labels, number(bound)))} {count}"
    yield f"{name}_sum{_labels(family.labels, labels)} {decimal(cells[-1], family.scale)}"
    yield f"{name}_count{_labels(family.labels, labels)} {count}"


def number(value: float) -> str:
    """A float as both formats write it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))


def decimal(value: int, scale: int) -> str:
    """`value / scale` as an exact decimal; `scale` is a power of ten."""
    if scale == 1:
        return str(value)
    digits = len(str(scale)) - 1
    whole, rest = divmod(value, scale)
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".") if rest else str(whole)


def _labels(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    pairs = [f'{name}="{escaped(value)}"' for name, value in zip(names, values, strict=True)]
    return "{" + ",".join(pairs) + "}"


def escaped(value: str) -> str:
    """A label's value between its quotes."""
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], value)


def _escaped_help(text: str, openmetrics: bool) -> str:
    return (_ESCAPED if openmetrics else _ESCAPED_HELP).sub(lambda found: _ESCAPES[found[0]], text)


def _visible(names: Labels, values: Labels, visible: Visible | None) -> Labels:
    if visible is None:
        return values
    return tuple([visible(name, value) for name, value in zip(names, values, strict=True)])


def _weight(parameter: str) -> float:
    try:
        return float(parameter[2:])
    except ValueError:
        return 0.0
