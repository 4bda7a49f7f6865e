"""Formats the process's own log: one line for each record, without control characters.

All handlers of a process use this formatter, so that text from a provider, a client or an exception can neither forge a
log line nor control a terminal.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Final

#: Maximum of characters of one line, and of lines of one traceback.
MAX_LINE_CHARACTERS: Final = 4_096
MAX_TRACEBACK_LINES: Final = 200
#: The C0 and C1 controls, line separators, marks that change the direction of text, and surrogates.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


class Formatter(logging.Formatter):
    """Formats a record as `LEVEL logger: message`, with the process's name where there are several."""

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = f"{process} " if process else ""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, and those of its traceback."""
        try:
            message = record.getMessage()
        except Exception as fault:  # noqa: BLE001 (a log line must not be lost to its own arguments)
            message = f"{record.msg!r} ({type(fault).__name__} in its arguments)"
        lines = [printable(f"{record.levelname} {self._process}{record.name}: {message}")]
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            found = [printable(line) for line in _traceback(traceback.TracebackException.from_exception(error))]
            if len(found) > MAX_TRACEBACK_LINES:
                # The exception itself is at the end.
                found = [f"  ... {len(found) - MAX_TRACEBACK_LINES} lines", *found[-MAX_TRACEBACK_LINES:]]
            lines += found
        if record.stack_info:
            lines += [printable(line) for line in record.stack_info.split("\n")[:MAX_TRACEBACK_LINES]]
        return "\n".join(lines)


def printable(text: str) -> str:
    """Truncate a text for one line, and escape its control characters."""
    if len(text) > MAX_LINE_CHARACTERS:
        text = f"{text[:MAX_LINE_CHARACTERS]}..."
    return _UNSAFE.sub(_escape, text)


def configure_logging(process: str = "", *, force: bool = False) -> None:
    """Write all log records of this process to the standard error; `force` replaces the parent's configuration."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=force)
    logging.getLogger("proxy").setLevel(logging.INFO)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\n":
        return "\\n"
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _traceback(error: traceback.TracebackException) -> Iterator[str]:
    """The lines of a traceback: first those of its cause or context, at last those of an exception group's members."""
    if error.__cause__ is not None:
        yield from _traceback(error.__cause__)
        yield "The above exception was the direct cause of the following exception:"
    elif error.__context__ is not None and not error.__suppress_context__:
        yield from _traceback(error.__context__)
        yield "During handling of the above exception, another exception occurred:"
    yield "Traceback (most recent call last):"
    for frame in error.stack.format():
        yield from frame.rstrip("\n").split("\n")
    yield "".join(error.format_exception_only()).rstrip("\n")
    for inner in error.exceptions or ():
        yield from _traceback(inner)
