"""The metrics of every request, counted from its bill.

A settled request is put on a list, and a few at a time are counted: after the last bytes of the eighth, at a sweep, or
for a scrape. What a killed worker had written to its journal and not counted is counted by the one that stores it.
"""

from bisect import bisect_left
from typing import Any, Final

from proxy.exchange.context import RequestContext
from proxy.ledger.record import UsageRecord
from proxy.observability.attempts import AttemptCounter
from proxy.observability.metrics import NANO, Histogram
from proxy.policies.base import GatewayState, Policy
from proxy.policies.gauges import add_gauges

#: Requests that are counted together.
FOLD_REQUESTS: Final = 8
#: Kinds of requests whose cells are known at once: more than a configuration has.
MAX_KINDS: Final = 4_096
#: The caches of the `gateway_*` names.
CACHES: Final = ("exact", "semantic")
#: The method of a request of which only the journal is left.
UNKNOWN_METHOD: Final = "unknown"

_TOKEN_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)
_OVERHEAD_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
_DURATION_SECONDS: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Cells:
    """Where the requests of one kind are counted: the first cells of the series that each of them has."""

    def __init__(self, requests: int, all_requests: int, duration: int, overhead: int) -> None:
        self.requests = requests
        self.all_requests = all_requests
        self.duration = duration
        self.overhead = overhead


class MetricsPolicy(Policy):
    """Counts each request that is settled: it admits all, and refuses nothing."""

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        metrics = state.metrics
        self._settled: list[tuple[str, UsageRecord]] = []
        self._waiting = 0
        self._known: dict[tuple[Any, ...], Cells] = {}
        self._families = Families(state)
        self._attempts = AttemptCounter(metrics)
        metrics.folds.append(self.fold)
        state.ledger.watch_orphans(metrics.memory.counted_until, self.count_orphans)
        add_gauges(state)

    def is_enabled(self) -> bool:
        return self.state.config.metrics.enabled

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        self._settled.append((context.spec.method, final))
        self._waiting += 1
        if self._waiting >= FOLD_REQUESTS:
            self.fold()

    def fold(self) -> None:
        """Count the requests that are settled, and let all workers see it."""
        if not self._waiting:
            return
        settled, self._settled, self._waiting = self._settled, [], 0
        for method, final in settled:
            self._count(method, final)
        number, length = self.state.ledger.journal.position
        self.state.metrics.column.publish(number, length)

    def count_orphans(self, finals: list[UsageRecord]) -> None:
        """Count bills of a killed worker that it had no time to count, and those of requests that it left open."""
        if not self.is_enabled():
            return
        for final in finals:
            self._count(UNKNOWN_METHOD, final)
        column = self.state.metrics.column
        _, number, length = column.position()
        column.publish(number, length)

    def _count(self, method: str, final: UsageRecord) -> None:
        families = self._families
        code = final.error_code if final.outcome == "refused" else None
        # A request without a known key has no row in the ledger.
        kind = (final.alias, final.endpoint, method, final.status, final.outcome, bool(final.key))
        cells = self._known.get(kind)
        if cells is None:
            if len(self._known) >= MAX_KINDS:
                self._known.clear()
            cells = self._known[kind] = families.cells(method, final)
        staged: Any = self.state.metrics.column.staged
        total = final.total
        staged[cells.all_requests] += 1
        families.observe_all(total)
        if final.key:
            staged[cells.requests] += 1
            _observe(staged, families.duration, cells.duration, total)
        if code is not None:
            families.refusals.add(1, code)
        if final.attempts:
            _observe(staged, families.overhead, cells.overhead, final.overhead)
            self._attempts.ended(final)
        if final.upstream or final.cost != 0:
            families.count_usage(final)
        if self.state.config.metrics.by_key and final.key:
            families.count_key(final)


class Families:
    """The families that are counted from bills."""

    def __init__(self, state: GatewayState) -> None:
        self._metrics = metrics = state.metrics
        staged = True
        self.requests = metrics.counter(
            "prometheus_gateway_requests_total",
            "Requests that have a row in the ledger, however they ended.",
            *("alias", "endpoint", "status", "outcome"),
            staged=staged,
        )
        self.all_requests = metrics.counter(
            "gateway_requests_total",
            "Requests of all endpoints, those without a valid key included.",
            *("method", "endpoint", "status"),
            staged=staged,
        )
        self.duration = metrics.histogram(
            "prometheus_gateway_request_duration_seconds",
            "From the arrival of a request to its end.",
            *("alias", "endpoint"),
            staged=staged,
        )
        self.all_durations = metrics.histogram(
            "gateway_request_duration_seconds", "Request duration in seconds.", bounds=_DURATION_SECONDS, staged=staged
        )
        self.overhead = metrics.histogram(
            "prometheus_gateway_overhead_seconds",
            "What the gateway itself added to requests that were sent to an upstream.",
            "endpoint",
            bounds=_OVERHEAD_SECONDS,
            staged=staged,
        )
        self.refusals = metrics.counter(
            "prometheus_gateway_refusals_total",
            "Requests that the gateway refused, by the code of the error.",
            "code",
            staged=staged,
        )
        hits = metrics.counter("gateway_cache_hits_total", "Requests that a cache served.", "cache_type")
        for kind in CACHES:
            # There, though it is 0.
            hits.add(0, kind)
        self.usage = UsageFamilies(state)
        self.count_usage = self.usage.count
        self.keys = KeyFamilies(state)
        self.count_key = self.keys.count

    def cells(self, method: str, final: UsageRecord) -> Cells:
        """The cells of requests like this one; series are made for what it has."""
        status, endpoint, alias = str(final.status), final.endpoint, final.alias
        has_row = bool(final.key)
        return Cells(
            self.requests.cell((alias, endpoint, status_class(final.status), final.outcome)) if has_row else 0,
            self.all_requests.cell((method, endpoint, status)),
            self.duration.cell((alias, endpoint)) if has_row else 0,
            self.overhead.cell((endpoint,)),
        )

    def observe_all(self, total: int) -> None:
        """Add the duration of a request, in microseconds, to that of all."""
        _observe(self._metrics.column.staged, self.all_durations, self.all_durations.cell(()), total)


class UsageFamilies:
    """What requests used and cost, by alias and upstream."""

    def __init__(self, state: GatewayState) -> None:
        self._metrics = metrics = state.metrics
        where = ("alias", "upstream")
        staged = True
        self.first_token = metrics.histogram(
            "prometheus_gateway_time_to_first_token_seconds",
            "Of streams: from the arrival of the request to the first content.",
            *where,
            staged=staged,
        )
        self.per_token = metrics.histogram(
            "prometheus_gateway_time_per_output_token_seconds",
            "Of whole streams: the time after the first content, by output token.",
            *where,
            bounds=_TOKEN_SECONDS,
            staged=staged,
        )
        self.tokens = metrics.counter(
            "prometheus_gateway_tokens_total",
            "Tokens; input and output are all of them, every other kind is a part of one of these.",
            *(*where, "kind"),
            staged=staged,
        )
        self.all_tokens = metrics.counter(
            "gateway_tokens_used_total", "Tokens by upstream and alias.", "provider", "model", "type", staged=staged
        )
        self.cost = metrics.counter(
            "prometheus_gateway_cost_usd_total", "What requests cost by the price.", *where, scale=NANO, staged=staged
        )
        self.target_cost = metrics.counter(
            "prometheus_gateway_target_cost_usd_total",
            "What requests cost the operator, where the target has a cost.",
            *where,
            scale=NANO,
            staged=staged,
        )
        self.unpriced = metrics.counter(
            "prometheus_gateway_unpriced_requests_total", "Requests whose cost is not known.", *where, staged=staged
        )
        self.estimated = metrics.counter(
            "prometheus_gateway_estimated_requests_total",
            "Requests whose tokens are estimated, because the upstream reported none.",
            *where,
            staged=staged,
        )
        self.images = metrics.counter("prometheus_gateway_images_total", "Images.", *where, staged=staged)
        self.audio = metrics.counter(
            "prometheus_gateway_audio_seconds_total", "Source audio.", *where, scale=1_000, staged=staged
        )
        self.calls = metrics.counter(
            "prometheus_gateway_provider_calls_total",
            "Searches and calls of other tools that providers made for responses.",
            *(*where, "kind"),
            staged=staged,
        )

    def count(self, final: UsageRecord) -> None:
        """Count one request that was sent to an upstream."""
        alias, upstream = final.alias, final.upstream
        staged = self._metrics.column.staged
        given, made = final.input_tokens, final.output_tokens
        if final.stream and final.ttft is not None and final.status == 200:
            where = (alias, upstream)
            _observe(staged, self.first_token, self.first_token.cell(where), final.ttft)
            if made > 1 and final.outcome == "complete":
                seconds = max(final.total - final.ttft, 0) // (made - 1)
                _observe(staged, self.per_token, self.per_token.cell(where), seconds)
        if given or made:
            add, add_all = self.tokens.add, self.all_tokens.add
            add(given, alias, upstream, "input")
            add(made, alias, upstream, "output")
            add_all(given, upstream, alias, "prompt")
            add_all(made, upstream, alias, "completion")
            for kind, count in parts_of(final):
                if count:
                    add(count, alias, upstream, kind)
        if final.cost is None:
            self.unpriced.add(1, alias, upstream)
        elif final.cost:
            self.cost.add(final.cost, alias, upstream)
        if final.target_cost is not None:
            self.target_cost.add(final.target_cost, alias, upstream)
        if final.usage_source == "estimated":
            self.estimated.add(1, alias, upstream)
        if final.images:
            self.images.add(final.images, alias, upstream)
        if final.audio_milliseconds:
            self.audio.add(final.audio_milliseconds, alias, upstream)
        if final.searches:
            self.calls.add(final.searches, alias, upstream, "search")
        if final.tool_calls:
            self.calls.add(final.tool_calls, alias, upstream, "tool")


class KeyFamilies:
    """The same by key, where the configuration wants that. They exist, without series, where it does not."""

    def __init__(self, state: GatewayState) -> None:
        metrics = state.metrics
        self.requests = metrics.counter(
            "prometheus_gateway_key_requests_total", "Requests by the id of their key.", "key", "status", staged=True
        )
        self.tokens = metrics.counter(
            "prometheus_gateway_key_tokens_total", "Tokens by the id of their key.", "key", "kind", staged=True
        )
        self.cost = metrics.counter(
            "prometheus_gateway_key_cost_usd_total",
            "What the requests of a key cost.",
            "key",
            scale=NANO,
            staged=True,
        )

    def count(self, final: UsageRecord) -> None:
        key = final.key
        self.requests.add(1, key, status_class(final.status))
        if final.input_tokens or final.output_tokens:
            self.tokens.add(final.input_tokens, key, "input")
            self.tokens.add(final.output_tokens, key, "output")
        if final.cost:
            self.cost.add(final.cost, key)


def parts_of(final: UsageRecord) -> tuple[tuple[str, int], ...]:
    """The kinds of tokens that are parts of the input and the output, and the advisor's, which are neither."""
    return (
        ("cached_input", final.cached_input_tokens),
        ("cache_write", final.cache_write_tokens),
        ("cache_write_1h", final.cache_write_1h_tokens),
        ("reasoning", final.reasoning_tokens),
        ("audio_input", final.audio_input_tokens),
        ("audio_output", final.audio_output_tokens),
        ("image_input", final.image_input_tokens),
        ("image_output", final.image_output_tokens),
        ("advisor_input", final.advisor_input_tokens),
        ("advisor_output", final.advisor_output_tokens),
    )


def status_class(status: int) -> str:
    """The class of a status, such as 2xx; that of none is `none`."""
    return f"{status // 100}xx" if status else "none"


def _observe(staged: Any, family: Histogram, cell: int, microseconds: int) -> None:
    """Add a duration to a series of a histogram that begins at `cell`."""
    staged[cell + bisect_left(family.bounds, microseconds / 1_000_000)] += 1
    staged[cell + family.width - 1] += microseconds * 1_000
