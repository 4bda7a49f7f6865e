"""Traces: a span for each request that a known key makes, where `otel.endpoint` is configured."""

import dataclasses
import logging
import re
import time
from typing import ClassVar, Final

from proxy.errors import GatewayError
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin
from proxy.ledger.record import UsageRecord
from proxy.observability.otel_export import SpanSender
from proxy.observability.spans import SpanEvent, failed_attempt, span_of
from proxy.policies.base import GatewayState, Policy
from proxy.wire.trace_context import TraceParent, trace_id_of

#: Requests with failed attempts whose events are kept until they are settled.
MAX_OPEN: Final = 10_000
NOT_INSTALLED: Final = (
    "otel.endpoint is set, and what it needs is not installed: pip install 'prometheus-gateway[otel]'"
)
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_log = logging.getLogger(__name__)


class TracePolicy(Policy):
    """Gives each request a trace, and sends its span when it is settled. It refuses nothing."""

    before_body: ClassVar[bool] = True

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        counter = state.metrics.counter(
            "prometheus_gateway_spans_total", "Spans of requests: sent, failed, or dropped for want of room.", "result"
        )
        self._sender: SpanSender | None = None
        self._sample = state.config.otel.sample
        #: Failed attempts of requests that are under way.
        self._events: dict[str, list[SpanEvent]] = {}
        if state.config.otel.endpoint:
            try:
                self._sender = SpanSender(state.config.otel, counter)
            except ImportError:
                _log.error(NOT_INSTALLED)

    def is_enabled(self) -> bool:
        return self._sender is not None

    def admit(self, context: RequestContext) -> Origin | None:
        """Begin a trace for a request whose client has none; the upstream gets it."""
        prism = context.prism
        if prism.trace is None:
            trace_id = prism.trace_id if _TRACE_ID.fullmatch(prism.trace_id) else trace_id_of(context.id)
            is_sampled = int(context.id[-8:], 16) % 100 < self._sample
            context.prism = dataclasses.replace(prism, trace=TraceParent(trace_id, "", is_sampled))
        return None

    def attempt_failed(self, context: RequestContext, target: str, error: GatewayError) -> None:
        trace = context.prism.trace
        if trace is not None and trace.is_sampled and len(self._events) < MAX_OPEN:
            event = failed_attempt(target, error.code or "error", time.time_ns())
            self._events.setdefault(context.id, []).append(event)

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        trace = context.prism.trace
        if trace is None or not trace.is_sampled or self._sender is None:
            return
        events = tuple(self._events.pop(context.id, ()))
        self._sender.add(span_of(final, context.spec.method, trace, events))

    def close(self) -> None:
        if self._sender is not None:
            self._sender.close()
