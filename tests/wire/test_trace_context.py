"""The trace context: what W3C allows is continued, and nothing else."""

import pytest

from proxy.server.ids import new_request_id
from proxy.wire.trace_context import TraceParent, parse_traceparent, span_id_of, trace_id_of, traceparent_line

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", TraceParent(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-00", TraceParent(TRACE, SPAN, False)),
        # Other flags, and a later version, which may have more behind it.
        (f"00-{TRACE}-{SPAN}-03", TraceParent(TRACE, SPAN, True)),
        (f"01-{TRACE}-{SPAN}-02-more", TraceParent(TRACE, SPAN, False)),
        ("", None),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        (f"00-{TRACE}-{SPAN}-01\r\nx: y", None),
    ],
)
def test_what_is_valid_is_read(value: str, expected: TraceParent | None) -> None:
    assert parse_traceparent(value.encode()) == expected


def test_a_line_is_read_as_it_was_written() -> None:
    line = traceparent_line(TRACE, SPAN, False)
    assert line.endswith(b"\r\n")
    assert parse_traceparent(line.removeprefix(b"traceparent: ").strip()) == TraceParent(TRACE, SPAN, False)


def test_the_ids_of_a_request_are_valid_and_its_own() -> None:
    one, other = new_request_id(), new_request_id()
    for request_id in (one, other, "req_" + "0" * 32):
        span = span_id_of(request_id)
        assert parse_traceparent(f"00-{TRACE}-{span}-01".encode()) == TraceParent(TRACE, span, True)
    assert span_id_of(one) != span_id_of(other)
    assert trace_id_of(one) == one[4:]
