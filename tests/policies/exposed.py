"""Reads the metrics of a running gateway as Prometheus does, and counts the same from the rows of its ledger."""

import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from proxy.ledger.record import UsageRecord
from tests.fakes import RawClient

#: (name of a sample, its labels by name) -> value.
Samples = dict[tuple[str, frozenset[tuple[str, str]]], Decimal]
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
#: Kinds of tokens, with the fields of a row that have them.
KINDS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cached_input": "cached_input_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "reasoning_tokens",
    "audio_input": "audio_input_tokens",
    "audio_output": "audio_output_tokens",
    "image_input": "image_input_tokens",
    "image_output": "image_output_tokens",
    "advisor_input": "advisor_input_tokens",
    "advisor_output": "advisor_output_tokens",
}


def page(port: int, headers: dict[str, str] | None = None, path: str = "/metrics") -> str:
    """The body of a scrape."""
    with RawClient("127.0.0.1", port, seconds=30.0) as client:
        client.request("GET", path, headers=headers or {})
        head, body = client.read_answer()
        assert head.status == 200, body
        return body.payload.decode()


def parse(text: str) -> Samples:
    """All samples of a page."""
    found: Samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = _SAMPLE.fullmatch(line)
            assert match is not None, line
            name, labels, value = match.groups()
            key = (name, frozenset(_LABEL.findall(labels or "")))
            assert key not in found, line
            found[key] = Decimal(value.replace("+Inf", "Infinity"))
    return found


def samples(port: int) -> Samples:
    """All samples of a gateway whose metrics are open."""
    return parse(page(port))


def total(found: Samples, name: str, **labels: str) -> Decimal:
    """The sum of a metric over all series that have these labels."""
    wanted = set(labels.items())
    return sum((value for (one, has), value in found.items() if one == name and wanted <= has), Decimal(0))


def by(found: Samples, name: str, *labels: str) -> dict[tuple[str, ...], Decimal]:
    """The sums of a metric by some of its labels, without those that are 0."""
    sums: Counter[tuple[str, ...]] = Counter()
    for (one, has), value in found.items():
        if one == name and value:
            values = dict(has)
            sums[tuple(values[label] for label in labels)] += value  # type: ignore[assignment]
    return dict(sums)  # type: ignore[arg-type]


def expected(rows: Iterable[UsageRecord]) -> dict[str, dict[tuple[str, ...], Decimal]]:
    """What the counters must be for these rows: by metric, then by the values of its labels."""
    sums: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in LABELS}
    for row in rows:
        where = (row.alias, row.upstream)
        status = f"{row.status // 100}xx" if row.status else "none"
        sums["prometheus_gateway_requests_total"][row.alias, row.endpoint, status, row.outcome] += 1
        sums["prometheus_gateway_request_duration_seconds_count"][row.alias, row.endpoint] += 1
        for kind, field in KINDS.items():
            sums["prometheus_gateway_tokens_total"][*where, kind] += getattr(row, field)
        sums["gateway_tokens_used_total"][row.upstream, row.alias, "prompt"] += row.input_tokens
        sums["gateway_tokens_used_total"][row.upstream, row.alias, "completion"] += row.output_tokens
        sums["prometheus_gateway_cost_usd_total"][where] += row.cost or 0
        sums["prometheus_gateway_unpriced_requests_total"][where] += row.cost is None
        sums["prometheus_gateway_estimated_requests_total"][where] += row.usage_source == "estimated"
        sums["prometheus_gateway_images_total"][where] += row.images
        sums["prometheus_gateway_audio_seconds_total"][where] += row.audio_milliseconds
        sums["prometheus_gateway_refusals_total"][row.error_code or "",] += row.outcome == "refused"
    scale = {"prometheus_gateway_cost_usd_total": 10**9, "prometheus_gateway_audio_seconds_total": 1_000}
    return {
        name: {labels: Decimal(value) / scale.get(name, 1) for labels, value in one.items() if value}
        for name, one in sums.items()
    }


#: The metrics that `expected` counts, with the labels by which they are compared.
LABELS: dict[str, tuple[str, ...]] = {
    "prometheus_gateway_requests_total": ("alias", "endpoint", "status", "outcome"),
    "prometheus_gateway_request_duration_seconds_count": ("alias", "endpoint"),
    "prometheus_gateway_tokens_total": ("alias", "upstream", "kind"),
    "gateway_tokens_used_total": ("provider", "model", "type"),
    "prometheus_gateway_cost_usd_total": ("alias", "upstream"),
    "prometheus_gateway_unpriced_requests_total": ("alias", "upstream"),
    "prometheus_gateway_estimated_requests_total": ("alias", "upstream"),
    "prometheus_gateway_images_total": ("alias", "upstream"),
    "prometheus_gateway_audio_seconds_total": ("alias", "upstream"),
    "prometheus_gateway_refusals_total": ("code",),
}


def counted(found: Samples) -> dict[str, dict[tuple[str, ...], Decimal]]:
    """The same counters as a scrape has them."""
    return {name: by(found, name, *labels) for name, labels in LABELS.items()}
