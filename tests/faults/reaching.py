"""Faults before the first byte of an answer: connections that do not come up, break or stay silent."""

from collections.abc import Iterable
from typing import Final

from tests.fakes import Close, Hang, Pause, Reset, Send, Step
from tests.faults.scenario import (
    ALL,
    DROPPED,
    SECOND,
    THIRD,
    TIMED_OUT,
    WHOLE,
    Asked,
    Scenario,
    failed,
    passed,
    well,
)

_UNREACHED: Final = failed("upstream_connect_failed")


def _reset(asked: Asked) -> Iterable[Step]:
    return [Reset()]


def _close(asked: Asked) -> Iterable[Step]:
    return [Close()]


def _hang(asked: Asked) -> Iterable[Step]:
    return [Hang()]


def _reset_on_reuse(asked: Asked) -> Iterable[Step]:
    return [Reset()] if asked.served > 1 else asked.good()


def _close_on_reuse(asked: Asked) -> Iterable[Step]:
    return [Close()] if asked.served > 1 else asked.good()


def _reset_again(asked: Asked) -> Iterable[Step]:
    """Good for the exchange that warms the connection up, and never for the question itself."""
    return asked.good() if b"warm-up" in asked.request.body else [Reset()]


def _half_a_head(asked: Asked) -> list[Step]:
    return [Send(asked.head().data[:40])]


def _head_by_bytes(asked: Asked) -> Iterable[Step]:
    """Never silent for long, and never done."""
    for byte in asked.head().data:
        yield Send(bytes([byte]))
        yield Pause(0.05)


def _hasty(asked: Asked) -> Iterable[Step]:
    """The request is not read; a close would throw the answer away with it."""
    return [*asked.error(413), Hang()]


SCENARIOS: Final = (
    Scenario("refused-port", "nobody listens", well, _UNREACHED, place="refused", wires=ALL),
    Scenario("no-such-host", "the name is unknown", well, _UNREACHED, place="no-such-host"),
    Scenario("tls-good", "TLS with a certificate that fits", well, WHOLE, place="tls"),
    Scenario("tls-expired", "the certificate has expired", well, _UNREACHED, place="tls-expired"),
    Scenario("tls-wrong-name", "the certificate is another host's", well, _UNREACHED, place="tls-wrong-name"),
    Scenario("tls-unknown-authority", "the certificate is self-made", well, _UNREACHED, place="tls-unknown"),
    Scenario("tls-on-a-plain-port", "no TLS where TLS is expected", well, _UNREACHED, place="tls-on-plain"),
    Scenario("tls-mute", "accepts, and never shakes hands", well, TIMED_OUT, place="tls-mute", slow=True),
    Scenario(
        "closed-on-accept",
        "closes each connection at once",
        well,
        failed("upstream_connect_failed", "upstream_dropped"),
        place="closing",
    ),
    Scenario(
        "reset-on-accept",
        "resets each connection at once",
        well,
        failed("upstream_connect_failed", "upstream_dropped"),
        place="resetting",
    ),
    Scenario("reset-before-head", "resets when it has the request", _reset, DROPPED, wires=ALL),
    Scenario("close-before-head", "closes when it has the request", _close, DROPPED),
    Scenario("reset-on-reuse", "resets a connection as it is used again", _reset_on_reuse, SECOND, SECOND, warm=True),
    Scenario("close-on-reuse", "closes a connection as it is used again", _close_on_reuse, SECOND, SECOND, warm=True),
    Scenario(
        "reset-on-reuse-and-again",
        "resets the used connection, and the fresh one too",
        _reset_again,
        failed("upstream_dropped", attempts=2),
        THIRD,
        warm=True,
    ),
    Scenario("half-a-head-then-close", "closes inside its head", lambda a: [*_half_a_head(a), Close()], DROPPED),
    Scenario("half-a-head-then-reset", "resets inside its head", lambda a: [*_half_a_head(a), Reset()], DROPPED),
    Scenario(
        "half-a-head-then-silence",
        "stops inside its head",
        lambda a: [*_half_a_head(a), Hang()],
        TIMED_OUT,
        slow=True,
    ),
    Scenario("silent", "takes the request and says nothing", _hang, TIMED_OUT, wires=ALL, slow=True),
    Scenario("head-by-bytes", "a head that takes longer than the first byte may", _head_by_bytes, TIMED_OUT, slow=True),
    Scenario(
        "silent-after-head",
        "a head, and nothing behind it",
        lambda a: [*a.begun(), Hang()],
        TIMED_OUT,
        wires=ALL,
        slow=True,
    ),
    Scenario("late", "answers late, but in time", lambda a: [Pause(0.2), *a.good()], WHOLE),
    Scenario(
        "answer-before-the-request-is-read",
        "refuses a large body without reading it",
        _hasty,
        passed(413),
        passed(413),
        place="hasty",
        padding=6_000_000,
    ),
)
