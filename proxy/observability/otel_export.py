"""Sends spans by OTLP over HTTP, in a thread of its own; the only module that uses OpenTelemetry's packages.

They are an extra (`prometheus-gateway[otel]`), and loaded where `otel.endpoint` is configured: `SpanSender` does it
when it is made. It never delays a request: what passes the bound is dropped, and counted.
"""

import logging
import threading
from collections import deque
from typing import Any, Final

from proxy import __version__
from proxy.clock.gil import yield_gil
from proxy.config.tree import Otel
from proxy.observability.metrics import Counter
from proxy.observability.spans import Span

#: Spans of one request to the collector.
MAX_BATCH: Final = 512
#: Seconds that a span waits for others at the most.
BATCH_SECONDS: Final = 1.0
#: Seconds that the collector has for one batch, and those that a shutdown waits for it.
EXPORT_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 2.0
_log = logging.getLogger(__name__)


class SpanSender:
    """Sends the spans that are added, until it is closed."""

    def __init__(self, settings: Otel, counter: Counter) -> None:
        """`counter` has the label `result`: sent, failed or dropped. Raises ImportError without the packages."""
        self._library = library = _Library()
        self._max_waiting = settings.max_waiting
        self._counter = counter
        for result in ("sent", "failed", "dropped"):
            # Made here: the thread only adds to what is there.
            counter.add(0, result)
        self._exporter = library.exporter(
            endpoint=settings.endpoint, headers=dict(settings.headers), timeout=EXPORT_SECONDS
        )
        about = {"service.name": settings.service_name, "service.version": __version__}
        self._resource = library.resource(about)
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="otel", daemon=True)
        self._thread.start()

    def add(self, span: Span) -> None:
        """Have a span sent. Called on the event loop."""
        waiting = self._waiting
        if len(waiting) >= self._max_waiting:
            self._counter.add(1, "dropped")
            return
        waiting.append(span)
        if len(waiting) >= MAX_BATCH:
            self._wake.set()

    def close(self) -> None:
        """Send what is waiting, if the collector takes it in time, and end the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_SECONDS)
        # Ends what is still being tried.
        self._exporter.shutdown()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(BATCH_SECONDS)
            self._wake.clear()
            self._send_waiting()
        self._send_waiting()

    def _send_waiting(self) -> None:
        waiting = self._waiting
        while waiting:
            batch: list[Any] = []
            while waiting and len(batch) < MAX_BATCH:
                batch.append(self._library.readable(waiting.popleft(), self._resource))
                yield_gil()
            self._send(batch)

    def _send(self, batch: list[Any]) -> None:
        try:
            result = self._exporter.export(batch)
        except Exception as error:  # noqa: BLE001 (whatever the library raises, the next batch is tried)
            _log.warning("spans could not be sent: %s", type(error).__name__)
            self._counter.add(len(batch), "failed")
        else:
            self._counter.add(len(batch), "sent" if result is self._library.success else "failed")


class _Library:
    """What is used of OpenTelemetry's packages. Raises ImportError where they are not installed."""

    def __init__(self) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.sdk.trace.export import SpanExportResult

        self.exporter: Any = OTLPSpanExporter
        self.resource: Any = Resource.create
        self.success: Any = SpanExportResult.SUCCESS
        self._trace: Any = trace
        self._event: Any = Event
        self._span: Any = ReadableSpan

    def readable(self, span: Span, resource: Any) -> Any:
        """A span as the exporter takes it."""
        trace = self._trace
        trace_id, sampled = int(span.trace_id, 16), trace.TraceFlags(trace.TraceFlags.SAMPLED)
        parent = None
        if span.parent_id:
            parent = trace.SpanContext(trace_id, int(span.parent_id, 16), is_remote=True, trace_flags=sampled)
        code = trace.StatusCode.ERROR if span.error else trace.StatusCode.UNSET
        return self._span(
            name=span.name,
            context=trace.SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=sampled),
            parent=parent,
            resource=resource,
            attributes=dict(span.attributes),
            events=[self._event(one.name, attributes=dict(one.attributes), timestamp=one.time) for one in span.events],
            kind=trace.SpanKind.SERVER,
            status=trace.Status(code, span.error or None),
            start_time=span.start,
            end_time=span.end,
        )
