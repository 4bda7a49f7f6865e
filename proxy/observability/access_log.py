"""The access log: formats a line for each request and writes it, without delaying any response.

Lines are formatted on the event loop, a few at a time after the requests' last bytes: a thread would need the GIL for
it too, and their data would have left the processor's caches. They are written in larger batches by a thread of its
own, so that a terminal or pipe that blocks never delays a response.
"""

import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TextIO

from proxy.clock.gil import yield_gil
from proxy.config.tree import LogFormat
from proxy.observability.access_format import json_lines, lost_line, text_lines
from proxy.observability.colour import may_colour
from proxy.observability.schemas import Access

#: Maximum of lines that wait to be written; the oldest ones beyond it are dropped, and counted.
MAX_WAITING = 10_000
#: Characters that a pipe takes in one write, so that lines of other workers do not mix in; some take several bytes.
MAX_WRITE_CHARACTERS = 3_000
# Requests whose lines are formatted together, which takes half the time of one by one. The next response waits for it.
_LINES_PER_FORMAT = 8
# Writes after which the GIL is released.
_WRITES_PER_YIELD = 8
#: Seconds for which an output that blocks can delay the shutdown.
MAX_BLOCKED_SECONDS = 1.0
#: Columns of a terminal that does not report its width.
_DEFAULT_COLUMNS = 80


class AccessLog:
    """Formats and writes access lines; `flush` regularly."""

    def __init__(self, stream: TextIO, log_format: LogFormat) -> None:
        self._stream = stream
        self.reconfigure(log_format)
        self._ended: list[Access] = []
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._lost = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="access-log")
        self._busy: Future[None] | None = None
        self._closing = False
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):
            # A stream in memory, which never blocks.
            self._descriptor = None

    def reconfigure(self, log_format: LogFormat) -> None:
        """Write further lines in this format."""
        self._on_terminal = log_format != "json" and self._stream.isatty()
        self._text = self._on_terminal if log_format == "auto" else log_format == "text"
        self._coloured = self._text and may_colour(self._stream, os.environ)
        self._format: Callable[[list[Access]], list[str]] = self._text_lines if self._text else json_lines

    def add(self, access: Access) -> None:
        """Add the line of one request."""
        self._ended.append(access)
        if len(self._ended) == _LINES_PER_FORMAT:
            self._format_ended()

    def flush(self) -> None:
        """Hand the waiting lines to the thread, unless it is still busy."""
        self._format_ended()
        if not self._waiting or (self._busy is not None and not self._busy.done()):
            return
        batch = list(self._waiting)
        self._waiting.clear()
        lost, self._lost = self._lost, 0
        self._busy = self._thread.submit(self._write, batch, lost)

    def close(self) -> None:
        """Write the waiting lines, unless the output blocks, and end the thread."""
        self._closing = True
        if self._busy is not None:
            self._busy.result()
        self.flush()
        self._thread.shutdown(wait=True)

    def _text_lines(self, batch: list[Access]) -> list[str]:
        return text_lines(batch, self._width(), self._coloured)

    def _width(self) -> int:
        """The current columns of the terminal; 0 where lines may be of any length."""
        if self._descriptor is None or not self._on_terminal:
            return 0
        try:
            return os.get_terminal_size(self._descriptor).columns or _DEFAULT_COLUMNS
        except OSError:
            return _DEFAULT_COLUMNS

    def _format_ended(self) -> None:
        ended, self._ended = self._ended, []
        if ended:
            self._lost += max(len(self._waiting) + len(ended) - MAX_WAITING, 0)
            self._waiting.extend(self._format(ended))

    def _write(self, batch: list[str], lost: int) -> None:
        try:
            if lost:
                self._stream.write(lost_line(lost, self._text) + "\n")
            for number, lines in enumerate(_writes(batch), 1):
                # Other workers write to the same output: each write must be one that a pipe takes as a whole.
                if not self._wait_writable():
                    print("access lines are lost: the output does not take them, and the end has come", file=sys.stderr)
                    return
                self._stream.writelines(("\n".join(lines), "\n"))
                self._stream.flush()
                if number % _WRITES_PER_YIELD == 0:
                    yield_gil()
        except (OSError, ValueError) as error:
            # The output is closed; serving goes on. Logged once for each batch, where operators look.
            print(f"the access log cannot be written: {error}", file=sys.stderr)

    def _wait_writable(self) -> bool:
        """Wait until the output does not block; False if it does and the log is being closed."""
        while self._descriptor is not None and not select.select([], [self._descriptor], [], MAX_BLOCKED_SECONDS)[1]:
            if self._closing:
                return False
        return True


def _writes(lines: Iterable[str]) -> Iterator[list[str]]:
    """Divide lines into writes of at most MAX_WRITE_CHARACTERS, or one line."""
    piece: list[str] = []
    size = 0
    for line in lines:
        size += len(line) + 1
        if piece and size > MAX_WRITE_CHARACTERS:
            yield piece
            piece, size = [], len(line) + 1
        piece.append(line)
    if piece:
        yield piece
