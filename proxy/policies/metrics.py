"""The metrics of every request, counted from its bill.

A settled request is put on a list, and a few at a time are counted: after the last bytes of the eighth, at a sweep, or
for a scrape. What a killed worker had written to its journal and not counted is counted by the one that stores it.
"""

from bisect import bisect_left
from functools import partial
from typing import Any, Final

from proxy.errors import GatewayError
from proxy.exchange.context import RequestContext
from proxy.ledger.record import UsageRecord
from proxy.observability.attempts import AttemptCounter
from proxy.observability.metrics import NANO, SECONDS, Metrics
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

#: (kind of tokens, how many).
Parts = tuple[tuple[str, int], ...]
_TOKEN_SECONDS: Final[tuple[float, ...]] = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)
_OVERHEAD_SECONDS: Final[tuple[float, ...]] = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.5,
    1.0,
)
_DURATION_SECONDS: Final[tuple[float, ...]] = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
# The same in microseconds, which are what a bill has; and the place of the sum behind the buckets.
_SECONDS: Final = tuple([seconds * 1_000_000 for seconds in SECONDS])
_TOKEN: Final = tuple([seconds * 1_000_000 for seconds in _TOKEN_SECONDS])
_OVERHEAD: Final = tuple([seconds * 1_000_000 for seconds in _OVERHEAD_SECONDS])
_DURATION: Final = tuple([seconds * 1_000_000 for seconds in _DURATION_SECONDS])
_SECONDS_SUM: Final = len(_SECONDS) + 1
_TOKEN_SUM: Final = len(_TOKEN) + 1
_OVERHEAD_SUM: Final = len(_OVERHEAD) + 1
_DURATION_SUM: Final = len(_DURATION) + 1


class Cells:
    """Where the requests of one kind are counted: the first cells of the series that nearly each of them has.

    Nothing is looked up by labels for a request whose kind has been counted before.
    """

    def __init__(self, families: "Families", method: str, final: UsageRecord) -> None:
        """The cells of requests like this one; the series are made where they are new."""
        status, endpoint, alias, upstream = final.status, final.endpoint, final.alias, final.upstream
        usage, scratch = families.usage, families.scratch
        # A request without a known key has no row in the ledger.
        has_row = bool(final.key or upstream)
        # What was made beside a request is none of its own.
        is_request = final.outcome != "hedge_lost"
        kind = (alias, endpoint, status_class(status), final.outcome)
        self.all_requests = families.all_requests.cell((method, endpoint, str(status))) if is_request else scratch
        self.all_durations = families.all_durations.cell(()) if is_request else scratch
        self.requests = families.requests.cell(kind) if has_row else scratch
        self.duration = families.duration.cell((alias, endpoint)) if has_row else scratch
        #: -1 where nothing was sent to an upstream.
        self.overhead = families.overhead.cell((endpoint,)) if upstream else -1
        where = (alias, upstream)
        self.input = usage.tokens.cell((*where, "input")) if upstream else scratch
        self.output = usage.tokens.cell((*where, "output")) if upstream else scratch
        self.prompt = usage.all_tokens.cell((upstream, alias, "prompt")) if upstream else scratch
        self.completion = usage.all_tokens.cell((upstream, alias, "completion")) if upstream else scratch
        self.cost = usage.cost.cell(where) if upstream else scratch
        streams = final.stream and status == 200 and bool(upstream)
        self.first_token = usage.first_token.cell(where) if streams else -1
        self.per_token = usage.per_token.cell(where) if streams and final.outcome == "complete" else -1


class MetricsPolicy(Policy):
    """Counts each request that is settled: it admits all, and refuses nothing."""

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        metrics = state.metrics
        self._settled: list[tuple[str, UsageRecord]] = []
        self._waiting = 0
        self._known: dict[tuple[Any, ...], Cells] = {}
        self._families = Families(metrics)
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

    def attempt_failed(self, context: RequestContext, target: str, error: GatewayError) -> None:
        self._attempts.failed(target, error)

    def attempt_lost(self, context: RequestContext, row: UsageRecord) -> None:
        """Count the row of an attempt that was made beside the one that responded."""
        self.settled(context, row)

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
        kind = (
            *(final.alias, final.upstream, final.endpoint, final.status, final.outcome, final.stream),
            *(method, final.key != ""),
        )
        cells = self._known.get(kind)
        if cells is None:
            if len(self._known) >= MAX_KINDS:
                self._known.clear()
            cells = self._known[kind] = Cells(self._families, method, final)
        staged: Any = self.state.metrics.column.staged
        total = final.total
        nanos = total * 1_000
        staged[cells.all_requests] += 1
        staged[cells.all_durations + bisect_left(_DURATION, total)] += 1
        staged[cells.all_durations + _DURATION_SUM] += nanos
        staged[cells.requests] += 1
        staged[cells.duration + bisect_left(_SECONDS, total)] += 1
        staged[cells.duration + _SECONDS_SUM] += nanos
        if cells.overhead >= 0:
            staged[cells.overhead + bisect_left(_OVERHEAD, final.overhead)] += 1
            staged[cells.overhead + _OVERHEAD_SUM] += final.overhead * 1_000
            given, made = final.input_tokens, final.output_tokens
            staged[cells.input] += given
            staged[cells.output] += made
            staged[cells.prompt] += given
            staged[cells.completion] += made
            first = final.ttft
            if first is not None and cells.first_token >= 0:
                staged[cells.first_token + bisect_left(_SECONDS, first)] += 1
                staged[cells.first_token + _SECONDS_SUM] += first * 1_000
                if made > 1 and cells.per_token >= 0:
                    each = max(total - first, 0) // (made - 1)
                    staged[cells.per_token + bisect_left(_TOKEN, each)] += 1
                    staged[cells.per_token + _TOKEN_SUM] += each * 1_000
            if final.cost:
                staged[cells.cost] += final.cost
            self._attempts.ended(final)
        self._families.count_rare(final)
        if self.state.config.metrics.by_key and final.key:
            self._families.keys.count(final)


class Families:
    """The families that are counted from bills."""

    def __init__(self, metrics: Metrics) -> None:
        counter, histogram = partial(metrics.counter, staged=True), partial(metrics.histogram, staged=True)
        self.requests = counter(
            "prometheus_gateway_requests_total",
            "Requests that have a row in the ledger, however they ended.",
            *("alias", "endpoint", "status", "outcome"),
        )
        self.all_requests = counter(
            "gateway_requests_total",
            "Requests of all endpoints, those without a valid key included.",
            *("method", "endpoint", "status"),
        )
        self.duration = histogram(
            "prometheus_gateway_request_duration_seconds",
            "From the arrival of a request to its end.",
            *("alias", "endpoint"),
        )
        self.all_durations = histogram(
            "gateway_request_duration_seconds", "Request duration in seconds.", bounds=_DURATION_SECONDS
        )
        self.overhead = histogram(
            "prometheus_gateway_overhead_seconds",
            "What the gateway itself added to requests that were sent to an upstream.",
            "endpoint",
            bounds=_OVERHEAD_SECONDS,
        )
        self.refusals = counter(
            "prometheus_gateway_refusals_total", "Requests that the gateway refused, by the code of the error.", "code"
        )
        hits = metrics.counter("gateway_cache_hits_total", "Requests that a cache served.", "cache_type")
        for kind in CACHES:
            # There, though it is 0.
            hits.add(0, kind)
        self.usage = UsageFamilies(metrics)
        self.keys = KeyFamilies(metrics)
        #: For what a request does not have.
        self.scratch = metrics.scratch(staged=True)

    def count_rare(self, final: UsageRecord) -> None:
        """Count what few requests have."""
        if final.outcome == "refused":
            self.refusals.add(1, final.error_code or "")
        elif not final.upstream and final.cost == 0:
            return
        usage = self.usage
        alias, upstream = final.alias, final.upstream
        if final.cost is None:
            usage.unpriced.add(1, alias, upstream)
        if final.usage_source == "estimated":
            usage.estimated.add(1, alias, upstream)
        if final.target_cost is not None:
            usage.target_cost.add(final.target_cost, alias, upstream)
        if final.cached_input_tokens or final.cache_write_tokens or final.reasoning_tokens:
            usage.count_parts(_common_parts(final), alias, upstream)
        if final.images:
            usage.images.add(final.images, alias, upstream)
        if final.audio_milliseconds:
            usage.audio.add(final.audio_milliseconds, alias, upstream)
        usage.count_parts(_rare_parts(final), alias, upstream)
        if final.searches:
            usage.calls.add(final.searches, alias, upstream, "search")
        if final.tool_calls:
            usage.calls.add(final.tool_calls, alias, upstream, "tool")


class UsageFamilies:
    """What requests used and cost, by alias and upstream."""

    def __init__(self, metrics: Metrics) -> None:
        counter, histogram = partial(metrics.counter, staged=True), partial(metrics.histogram, staged=True)
        where = ("alias", "upstream")
        self.first_token = histogram(
            "prometheus_gateway_time_to_first_token_seconds",
            "Of streams: from the arrival of the request to the first content.",
            *where,
        )
        self.per_token = histogram(
            "prometheus_gateway_time_per_output_token_seconds",
            "Of whole streams: the time after the first content, by output token.",
            *where,
            bounds=_TOKEN_SECONDS,
        )
        self.tokens = counter(
            "prometheus_gateway_tokens_total",
            "Tokens; input and output are all of them, every other kind is a part of one of these.",
            *(*where, "kind"),
        )
        self.all_tokens = counter(
            "gateway_tokens_used_total", "Tokens by upstream and alias.", "provider", "model", "type"
        )
        self.cost = counter("prometheus_gateway_cost_usd_total", "What requests cost by the price.", *where, scale=NANO)
        self.target_cost = counter(
            "prometheus_gateway_target_cost_usd_total",
            "What requests cost the operator, where the target has a cost.",
            *where,
            scale=NANO,
        )
        self.unpriced = counter(
            "prometheus_gateway_unpriced_requests_total", "Requests whose cost is not known.", *where
        )
        self.estimated = counter(
            "prometheus_gateway_estimated_requests_total",
            "Requests whose tokens are estimated, because the upstream reported none.",
            *where,
        )
        self.images = counter("prometheus_gateway_images_total", "Images.", *where)
        self.audio = counter("prometheus_gateway_audio_seconds_total", "Source audio.", *where, scale=1_000)
        self.calls = counter(
            "prometheus_gateway_provider_calls_total",
            "Searches and calls of other tools that providers made for responses.",
            *(*where, "kind"),
        )

    def count_parts(self, parts: Parts, alias: str, upstream: str) -> None:
        """Count those kinds of tokens of which there are any."""
        for kind, count in parts:
            if count:
                self.tokens.add(count, alias, upstream, kind)


class KeyFamilies:
    """The same by key, where the configuration wants that. They exist, without series, where it does not."""

    def __init__(self, metrics: Metrics) -> None:
        counter = partial(metrics.counter, staged=True)
        self.requests = counter(
            "prometheus_gateway_key_requests_total", "Requests by the id of their key.", "key", "status"
        )
        self.tokens = counter("prometheus_gateway_key_tokens_total", "Tokens by the id of their key.", "key", "kind")
        self.cost = counter(
            "prometheus_gateway_key_cost_usd_total", "What the requests of a key cost.", "key", scale=NANO
        )

    def count(self, final: UsageRecord) -> None:
        key = final.key
        self.requests.add(1, key, status_class(final.status))
        if final.input_tokens or final.output_tokens:
            self.tokens.add(final.input_tokens, key, "input")
            self.tokens.add(final.output_tokens, key, "output")
        if final.cost:
            self.cost.add(final.cost, key)


def _common_parts(final: UsageRecord) -> Parts:
    """The kinds of tokens that many requests have, each a part of the input or the output."""
    return (
        ("cached_input", final.cached_input_tokens),
        ("cache_write", final.cache_write_tokens),
        ("cache_write_1h", final.cache_write_1h_tokens),
        ("reasoning", final.reasoning_tokens),
    )


def _rare_parts(final: UsageRecord) -> Parts:
    """The others, and those of an advisor, which are no part of the input and the output; nearly always none at all."""
    if not (
        final.audio_input_tokens
        or final.audio_output_tokens
        or final.image_input_tokens
        or final.image_output_tokens
        or final.advisor_input_tokens
        or final.advisor_output_tokens
    ):
        return ()
    return (
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
