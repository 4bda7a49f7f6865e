"""Answers with a status other than 200: which are tried again, which are passed on, and what of them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from tests.fakes import Hang, Reset, Send, Step, head
from tests.faults.scenario import (
    ALL,
    DROPPED,
    SECOND,
    THIRD,
    TIMED_OUT,
    UNREADABLE,
    WHOLE,
    Asked,
    Behaviour,
    End,
    Scenario,
    failed,
    passed,
)

_PAGE: Final = b"<!doctype html><html><body>vndr-edge says no</body></html>"
_HTML: Final = {"content-type": "text/html; charset=utf-8"}
#: Too far to wait for.
_DATE: Final = format_datetime(datetime(2099, 1, 1, tzinfo=UTC), usegmt=True)
_UNSHAPED: Final = failed("upstream_error")


def _failed(number: int, attempts: int = 1) -> End:
    """A failure whose status is kept, in the gateway's own words."""
    return replace(failed("upstream_error", attempts=attempts), status=number)


def status(number: int, **headers: str) -> Behaviour:
    """Always this status, with an error in the wire's own shape."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda asked: asked.error(number, fields)


def _once(number: int) -> Behaviour:
    return lambda asked: asked.error(number) if asked.attempt == 1 else asked.good()


def _filtered(asked: Asked) -> Iterable[Step]:
    return asked.sized(
        asked.wire.error("It was filtered.", "content_filter"), 400, {"content-type": "application/json"}
    )


def _part_of_an_error(asked: Asked) -> list[Step]:
    return asked.error(400)[:1]


def _interim(count: int) -> Behaviour:
    return lambda asked: [Send(b"HTTP/1.1 103 Early Hints\r\nlink: </vndr>\r\n\r\n" * count), *asked.good()]


SCENARIOS: Final = (
    Scenario(
        "429-with-seconds",
        "too many requests, and when to come again",
        status(429, retry_after="7"),
        passed(429),
        wires=ALL,
        shows=(b"retry-after: 7\n",),
    ),
    Scenario(
        "429-with-a-date",
        "too many requests, and when to come again, as a date",
        status(429, retry_after=_DATE),
        passed(429),
        shows=(b"retry-after: ",),
    ),
    Scenario("429-without", "too many requests", status(429), passed(429), wires=ALL),
    Scenario("500-once", "an internal error, once", _once(500), SECOND, SECOND, wires=ALL),
    Scenario("500-always", "an internal error each time", status(500), passed(500, attempts=2), THIRD),
    Scenario("502", "a bad gateway of its own", status(502), passed(502)),
    Scenario("503-for-ever", "unavailable each time", status(503), passed(503), wires=ALL),
    Scenario("504", "a gateway timeout of its own", status(504), passed(504)),
    Scenario("529", "overloaded", status(529), passed(529), wires=ALL),
    Scenario("408", "a timeout of its own", status(408), passed(408)),
    Scenario("409", "a conflict", status(409), passed(409)),
    Scenario("400", "a bad request", status(400), passed(400), passed(400), wires=ALL),
    Scenario("400-content-filter", "refuses the prompt", _filtered, passed(400), passed(400)),
    Scenario("401", "refuses the gateway's own credential", status(401), _UNSHAPED, wires=ALL),
    Scenario("403", "forbids the gateway's own account", status(403), _UNSHAPED),
    Scenario("404", "the model is unknown there", status(404), passed(404), passed(404), wires=ALL),
    Scenario("413", "the request is too large", status(413), passed(413), passed(413)),
    Scenario("422", "the request cannot be processed", status(422), passed(422), passed(422)),
    Scenario(
        "redirect-307",
        "points to an inner host",
        lambda a: [head(307, {"location": "http://127.0.0.1:1/vndr", "content-length": "0"})],
        _UNSHAPED,
        wires=ALL,
        hides=(b"location:",),
    ),
    Scenario(
        "redirect-302-with-a-page",
        "points to a sign-in page",
        lambda a: a.sized(_PAGE, 302, _HTML),
        _UNSHAPED,
        hides=(b"location:",),
    ),
    Scenario("page-as-200", "a web page as 200", lambda a: a.sized(_PAGE, 200, _HTML), UNREADABLE, wires=ALL),
    Scenario("page-as-502", "a web page as 502", lambda a: a.sized(_PAGE, 502, _HTML), _UNSHAPED, wires=ALL),
    Scenario(
        "page-as-503",
        "a web page as 503, and when to come again",
        lambda a: a.sized(_PAGE, 503, {**_HTML, "retry-after": "600"}),
        _failed(503),
        wires=ALL,
        shows=(b"retry-after: 600\n",),
    ),
    Scenario(
        "page-as-429",
        "a web page as 429, and when to come again",
        lambda a: a.sized(_PAGE, 429, {**_HTML, "retry-after": "600"}),
        passed(429),
        shows=(b"retry-after: 600\n",),
    ),
    Scenario("page-as-404", "a web page as 404", lambda a: a.sized(_PAGE, 404, _HTML), _UNSHAPED, _UNSHAPED),
    Scenario("503-without-a-body", "unavailable, and no word", lambda a: a.sized(b"", 503), _failed(503)),
    Scenario(
        "400-of-another-shape",
        "an error in another format",
        lambda a: a.sized(b'{"detail":"vndr-inner.example says no"}', 400),
        passed(400),
        passed(400),
        wires=ALL,
        shows=(b"*** says no",),
    ),
    Scenario(
        "429-of-another-shape",
        "too many requests in another format, and when to come again",
        lambda a: a.sized(b'{"message":"too many for vndr.example"}', 429, {"retry-after": "600"}),
        passed(429),
        wires=ALL,
        shows=(b"retry-after: 600\n", b"too many for ***"),
    ),
    Scenario(
        "500-of-another-shape",
        "a failure in words of its own",
        lambda a: a.sized(b'{"detail":"vndr_worker.py failed"}', 500),
        _failed(500, attempts=2),
        THIRD,
    ),
    Scenario(
        "500-with-a-huge-body",
        "an error of a megabyte",
        lambda a: a.sized(b'{"error":{"message":"%b"}}' % (b"vndr" * 262_144), 500),
        _failed(500, attempts=2),
        THIRD,
    ),
    Scenario(
        "error-body-stalls",
        "stops inside an error's body",
        lambda a: [*_part_of_an_error(a), Hang()],
        TIMED_OUT,
        slow=True,
    ),
    Scenario("error-body-is-cut", "resets inside an error's body", lambda a: [*_part_of_an_error(a), Reset()], DROPPED),
    Scenario("204", "no content", lambda a: [head(204)], UNREADABLE, wires=ALL),
    Scenario("101", "switches protocols unasked", lambda a: [a.head(101), Send(a.body)], UNREADABLE),
    Scenario("600", "a status that is none of HTTP's", status(600), UNREADABLE, wires=ALL),
    Scenario("999", "another one", status(999), UNREADABLE),
    Scenario("099", "one below them", lambda a: [Send(b"HTTP/1.1 099 X\r\n\r\n")], UNREADABLE),
    Scenario("interim-answers", "a few 103 before the answer", _interim(5), WHOLE),
    Scenario("interim-answers-without-end", "twenty thousand 103 before the answer", _interim(20_000), UNREADABLE),
)
