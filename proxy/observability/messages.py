"""How the lines of the process's own log read: one line each, whatever the words in it are.

All handlers of a process use this formatter. What it writes has no control character, so that nobody's words (a
provider's, a client's, those of an exception) make a line of their own or move a terminal's cursor.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Final

#: Characters of one line, and lines of one traceback.
MAX_LINE: Final = 4_096
MAX_TRACEBACK: Final = 200
#: The controls of C0 and C1, separators of lines, marks that turn the direction of a text, and what cannot be encoded.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


class Formatter(logging.Formatter):
    """Formats a record as `LEVEL logger: message`, with the process's name where there are several."""

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = f"{process} " if process else ""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line; those of its traceback follow."""
        try:
            message = record.getMessage()
        except Exception as fault:  # noqa: BLE001 (a log line must not be lost to its own arguments)
            message = f"{record.msg!r} ({type(fault).__name__} in its arguments)"
        lines = [printable(f"{record.levelname} {self._process}{record.name}: {message}")]
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            found = [printable(line) for line in _traceback(traceback.TracebackException.from_exception(error))]
            if len(found) > MAX_TRACEBACK:
                # Its end says what was raised.
                found = [f"  ... {len(found) - MAX_TRACEBACK} lines", *found[-MAX_TRACEBACK:]]
            lines += found
        if record.stack_info:
            lines += [printable(line) for line in record.stack_info.split("\n")[:MAX_TRACEBACK]]
        return "\n".join(lines)


def printable(text: str) -> str:
    """A text as a part of one line: bounded, and its control characters as escapes."""
    if len(text) > MAX_LINE:
        text = f"{text[:MAX_LINE]}..."
    return _UNSAFE.sub(_escape, text)


def write_log(process: str = "", *, anew: bool = False) -> None:
    """Have all that is logged in this process written to the standard error; `anew` in place of what its parent set."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=anew)
    logging.getLogger("proxy").setLevel(logging.INFO)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\n":
        return "\\n"
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _traceback(error: traceback.TracebackException) -> Iterator[str]:
    """The lines of a traceback: its frames, and one line for what was raised, with that before which it was raised."""
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
