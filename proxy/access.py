"""The access line: one for every request, text on a terminal and JSON lines elsewhere.

Lines are made and written off the request's path, in batches, by a thread of its own: a terminal or pipe that does not
take them never holds up an answer. It prints no key, no prompt and no answer.
"""

import select
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
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
#: Lines that are made at a time; between them the event loop has its turn.
TOGETHER = 50
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
        self._waiting: deque[Access] = deque(maxlen=MAX_WAITING)
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

    def add(self, access: Access) -> None:
        """Take a line."""
        self._waiting.append(access)
        self._seen += 1

    def flush(self) -> None:
        """Hand what waits to the thread, unless it is still busy."""
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

    def _write(self, batch: list[Access], lost: int) -> None:
        lines = text_lines if self._text else json_lines
        try:
            if lost:
                self._stream.write(lost_line(lost, self._text) + "\n")
            for at in range(0, len(batch), TOGETHER):
                for piece in _pieces(lines(batch[at : at + TOGETHER])):
                    # Other workers write to the same output: no line of theirs may come in the middle of one of ours.
                    if not self._can_write():
                        print("access lines are lost: the output takes none, and the end has come", file=sys.stderr)
                        return
                    self._stream.writelines((piece,))
                    self._stream.flush()
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


def _pieces(lines: str) -> Iterator[str]:
    """The lines in pieces that each are written as a whole."""
    begin = 0
    while begin < len(lines):
        # Behind the last line that fits; one that is longer than a piece goes alone.
        end = lines.rfind("\n", begin, begin + WHOLE) + 1 or lines.index("\n", begin) + 1
        yield lines[begin:end]
        begin = end


class _Moments:
    """The texts of moments: most are in the second of the one before, and what is costly is the same for all of it."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def local(self, time_: int) -> str:
        """The clock of the machine's time zone."""
        second = time_ // 1_000_000
        if second != self._second:
            self._second, self._text = second, time.strftime("%H:%M:%S", time.localtime(second))
        return self._text

    def utc(self, time_: int) -> str:
        """ISO 8601, to the millisecond."""
        second, rest = divmod(time_, 1_000_000)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._text}.{rest // 1000:03d}+00:00"


def text_lines(batch: Iterable[Access]) -> str:
    """The lines for people."""
    clock = _Moments().local
    return "".join([f"{clock(access.time)}  {_text(access)}\n" for access in batch])


def text_line(access: Access) -> str:
    """The same of one request, without the end of the line."""
    return text_lines([access])[:-1]


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


def json_lines(batch: Iterable[Access]) -> str:
    """The lines for machines: one JSON object each."""
    moment = _Moments().utc
    return _encoder.encode_lines([_json(access, moment(access.time)) for access in batch]).decode()


def json_line(access: Access) -> str:
    """The same of one request, without the end of the line."""
    return json_lines([access])[:-1]


def _json(access: Access, moment: str) -> _Line:
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
    decimals = f"{part:09d}".rstrip("0")
    return f"{whole}.{decimals:0<2}"
