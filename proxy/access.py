"""The access line: one for every request, text on a terminal and JSON lines elsewhere.

Lines are made a few at a time behind the requests' last bytes: a thread would need the interpreter for it too, and
all that they are made of would have left the processor's caches. They are written in larger batches, by a thread of
their own: a terminal or pipe that does not take them never holds up an answer. They hold no key, no prompt, no answer.
"""

import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from proxy.breath import breathe
from proxy.config.tree import LogFormat
from proxy.ledger.record import Final

#: Lines that may wait; beyond it they are dropped, and counted.
MAX_WAITING = 10_000
#: Characters that a pipe takes in one piece, whoever else writes to it; names of keys may be longer in bytes.
WHOLE = 3_000
# Requests whose lines are made at a time, behind the answer of the last: the same work again and again costs half as
# much as each by itself, but the next answer must not wait for many.
_MADE_TOGETHER = 8
# Pieces that are written at a time; between them the event loop has its turn.
_WRITTEN_TOGETHER = 8
#: Seconds that an output which takes nothing can hold up the end of the gateway.
PATIENCE = 1.0
_encoder = msgspec.json.Encoder()


class Access(msgspec.Struct, gc=False):
    """One request as the line tells it. Durations are in microseconds."""

    time: int
    method: str
    path: str
    status: int
    request_id: str
    total: int
    key: str = ""
    final: Final | None = None


class AccessLog:
    """Collects lines and writes them to a stream."""

    def __init__(self, stream: TextIO, form: LogFormat) -> None:
        self._stream = stream
        self.write_as(form)
        self._ended: list[Access] = []
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._seen = 0
        self._written = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="access-log")
        self._busy: Future[None] | None = None
        self._closing = False
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):
            # A stream in memory, which takes everything.
            self._descriptor = None

    def write_as(self, form: LogFormat) -> None:
        """Write the lines to come in this form."""
        self._text = self._stream.isatty() if form == "auto" else form == "text"
        self._lines = text_lines if self._text else json_lines

    def add(self, access: Access) -> None:
        """Take a line."""
        self._ended.append(access)
        if len(self._ended) == _MADE_TOGETHER:
            self._make()

    def flush(self) -> None:
        """Hand what waits to the thread, unless it is still busy."""
        self._make()
        if not self._waiting or (self._busy is not None and not self._busy.done()):
            return
        batch = list(self._waiting)
        self._waiting.clear()
        lost = self._seen - self._written - len(batch)
        self._written = self._seen
        self._busy = self._thread.submit(self._write, batch, lost)

    def close(self) -> None:
        """Write what waits, as far as the output takes it, and end the thread."""
        self._closing = True
        if self._busy is not None:
            self._busy.result()
        self.flush()
        self._thread.shutdown(wait=True)

    def _make(self) -> None:
        ended, self._ended = self._ended, []
        if ended:
            self._seen += len(ended)
            self._waiting.extend(self._lines(ended))

    def _write(self, batch: list[str], lost: int) -> None:
        try:
            if lost:
                self._stream.write(lost_line(lost, self._text) + "\n")
            for number, lines in enumerate(_pieces(batch), 1):
                # Other workers write to the same output: no line of theirs may come in the middle of one of ours.
                if not self._can_write():
                    print("access lines are lost: the output does not take them, and the end has come", file=sys.stderr)
                    return
                self._stream.writelines(("\n".join(lines), "\n"))
                self._stream.flush()
                if number % _WRITTEN_TOGETHER == 0:
                    breathe()
        except (OSError, ValueError) as error:
            # Nobody reads any more; serving goes on. Said once a batch, where operators look.
            print(f"the access log cannot be written: {error}", file=sys.stderr)

    def _can_write(self) -> bool:
        """Wait until the output takes a piece; False if it does not, and the log is being closed."""
        while self._descriptor is not None and not select.select([], [self._descriptor], [], PATIENCE)[1]:
            if self._closing:
                return False
        return True


def _pieces(lines: Iterable[str]) -> Iterator[list[str]]:
    """The lines in pieces that each are written as a whole."""
    piece: list[str] = []
    size = 0
    for line in lines:
        size += len(line) + 1
        if piece and size > WHOLE:
            yield piece
            piece, size = [], len(line) + 1
        piece.append(line)
    if piece:
        yield piece


class _Seconds:
    """Makes a text of a second once for all the lines of it: most are of the same second as the one before."""

    def __init__(self, make: Callable[[int], str]) -> None:
        self._make = make
        self._second = -1
        self._text = ""

    def text(self, second: int) -> str:
        if second != self._second:
            self._second, self._text = second, self._make(second)
        return self._text


def text_lines(batch: Iterable[Access]) -> list[str]:
    """The lines for people."""
    clock = _Seconds(lambda second: time.strftime("%H:%M:%S", time.localtime(second)))
    return [f"{clock.text(access.time // 1_000_000)}  {_text(access)}" for access in batch]


def text_line(access: Access) -> str:
    """The line of one request."""
    return text_lines([access])[0]


def _text(access: Access) -> str:
    final = access.final
    line = f"{access.method}  {access.path}  {access.status}"
    key = f"  key {access.key}" if access.key else ""
    if final is None:
        return f"{line}  total {access.total / 1000:.1f} ms{key}"
    alias = f"  {final.alias}" if final.alias else ""
    estimated = "  (estimated)" if final.usage_source == "estimated" else ""
    price = "unpriced" if final.cost is None else f"${dollars(final.cost)}"
    ttft = "" if final.ttft is None else f"  ttft {final.ttft / 1000:.1f} ms"
    outcome = "" if final.outcome == "complete" else f"  {final.outcome}"
    return (
        f"{line}{alias}  in {final.input_tokens} out {final.output_tokens}{estimated}  {price}{ttft}"
        f"  total {final.total / 1000:.1f} ms  overhead {final.overhead / 1000:.2f} ms{key}{outcome}"
    )


class _Line(msgspec.Struct, gc=False):
    """A line for machines, of a request that has no bill."""

    time: str
    method: str
    path: str
    status: int
    request_id: str
    key: str | None
    total_ms: float


class _BilledLine(_Line, gc=False):
    """The same with the bill."""

    alias: str
    stream: bool
    outcome: str
    attempts: int
    input_tokens: int
    output_tokens: int
    usage_source: str
    cost_usd: str | None
    ttft_ms: float | None
    overhead_ms: float
    error_code: str | None


def json_lines(batch: Iterable[Access]) -> list[str]:
    """The lines for machines: one JSON object each."""
    moments = _Seconds(lambda second: datetime.fromtimestamp(second, UTC).isoformat()[:19])
    lines: list[str] = []
    for access in batch:
        second, rest = divmod(access.time, 1_000_000)
        moment = f"{moments.text(second)}.{rest // 1000:03d}+00:00"
        lines.append(_encoder.encode(_line(access, moment)).decode())
    return lines


def json_line(access: Access) -> str:
    """The line of one request."""
    return json_lines([access])[0]


def _line(access: Access, moment: str) -> _Line:
    plain = (moment, access.method, access.path, access.status, access.request_id, access.key or None)
    final = access.final
    if final is None:
        return _Line(*plain, access.total / 1000)
    return _BilledLine(
        *plain,
        final.total / 1000,
        final.alias,
        final.stream,
        final.outcome,
        final.attempts,
        final.input_tokens,
        final.output_tokens,
        final.usage_source,
        None if final.cost is None else dollars(final.cost),
        None if final.ttft is None else final.ttft / 1000,
        final.overhead / 1000,
        final.error_code,
    )


def lost_line(count: int, text: bool) -> str:
    """The line that stands for those that could not be written."""
    message = f"{count} access lines were lost: the output does not take them fast enough"
    return message if text else _encoder.encode({"lost": count, "message": message}).decode()


def dollars(nano: int) -> str:
    """Nano-dollars as USD, exactly, without needless zeros but with two decimals at least."""
    whole, part = divmod(nano, 1_000_000_000)
    decimals = f"{part:09d}"
    return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"
