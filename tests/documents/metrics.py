"""The table of all metrics in `docs/metrics.md`, from the registry of a gateway."""

from collections.abc import Iterator
from pathlib import Path

from proxy.observability.metrics import Family, Gauge, Histogram
from tests.serving import idle_state

PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"
_BEGIN = "<!-- metrics: written by `make docs` -->\n\n"
_END = "\n<!-- end of metrics -->\n"


def rows() -> Iterator[str]:
    """A row for each metric."""
    families = idle_state().metrics.families
    for name in sorted(families):
        family = families[name]
        labels = ", ".join(f"`{label}`" for label in family.labels) or "-"
        yield f"| `{name}` | {family.kind}{_more(family)} | {labels} | {family.help} |"


def _more(family: Family) -> str:
    if isinstance(family, Gauge):
        return {"sum": "", "max": " (largest)", "min": " (smallest)"}[family.merge]
    if isinstance(family, Histogram):
        return f" ({family.bounds[0]:g} s to {family.bounds[-1]:g} s)"
    return ""


def current() -> str:
    """The page, with the table as it is now."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|", *rows()]
    return before + _BEGIN + "\n".join(lines) + "\n" + _END + after


if __name__ == "__main__":
    PAGE.write_text(current())
