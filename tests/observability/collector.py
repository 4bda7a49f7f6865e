"""A collector of spans on a real socket, which keeps what it is sent by OTLP over HTTP."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Collector:
    """Takes traces at `/v1/traces`, or refuses them with a status, or waits for a gate."""

    def __init__(self, status: int = 200, gate: threading.Event | None = None) -> None:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if gate is not None:
                    gate.wait(10)
                collector.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="collector")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def spans(self) -> list[Any]:
        """All spans so far."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = []
        for headers, body in self.requests:
            assert headers.get("content-type") == "application/x-protobuf"
            message = ExportTraceServiceRequest.FromString(body)
            found += [span for one in message.resource_spans for scope in one.scope_spans for span in scope.spans]
        return found


def attributes_of(one: Any) -> dict[str, Any]:
    """The attributes of a span or an event."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in one.attributes}
