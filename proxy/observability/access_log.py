"""The access log: collects the lines of requests and writes them, without holding up any of them.

Lines are made a few at a time behind the requests' last bytes: a thread would need the interpreter for it too, and
all that they are made of would have left the processor's caches. They are written in larger batches, by a thread of
their own: a terminal or pipe that does not take them never holds up an answer.
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
#: Columns of a terminal that does not say.
_USUAL_WIDTH = 80


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
        self._on_terminal = form != "json" and self._stream.isatty()
        self._text = self._on_terminal if form == "auto" else form == "text"
        self._coloured = self._text and may_colour(self._stream, os.environ)
        self._lines: Callable[[list[Access]], list[str]] = self._text_lines if self._text else json_lines

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

    def _text_lines(self, batch: list[Access]) -> list[str]:
        return text_lines(batch, self._width(), self._coloured)

    def _width(self) -> int:
        """The columns of the terminal as it is now; 0 where lines may be of any length."""
        if self._descriptor is None or not self._on_terminal:
            return 0
        try:
            return os.get_terminal_size(self._descriptor).columns or _USUAL_WIDTH
        except OSError:
            return _USUAL_WIDTH

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
                    yield_gil()
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
