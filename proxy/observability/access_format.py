"""Formats access log lines: text for people, JSON for machines. A line has no credential, prompt or response text.

Lines are formatted for several requests at a time; `access_log` writes them.
"""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from proxy.observability.schemas import Access, BilledLine, Line

_encode: Final = msgspec.json.Encoder().encode
#: Characters that are kept of a path, whatever the width.
_MIN_PATH_CHARACTERS: Final = 12
#: Maximum of characters of a model's name in a short line.
_MAX_NAME_CHARACTERS: Final = 40
_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"
#: By the first digit of the status: green, cyan, yellow, red.
_COLOURS: Final[dict[int, str]] = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: _RED}


class _SecondCache:
    """Formats a second once for all lines of it: most lines are of the same second as the line before."""

    def __init__(self, format_second: Callable[[int], str]) -> None:
        self._format = format_second
        self._second = -1
        self._text = ""

    def text(self, second: int) -> str:
        if second != self._second:
            self._second, self._text = second, self._format(second)
        return self._text


def text_lines(batch: Iterable[Access], width: int = 0, coloured: bool = False) -> list[str]:
    """Text lines: of at most `width` characters where possible; 0 is any length, with all details."""
    clock = _SecondCache(_clock)
    return [_text(access, clock.text(access.time // 1_000_000), width, coloured) for access in batch]


def json_lines(batch: Iterable[Access]) -> list[str]:
    """JSON lines: one object each."""
    date = _SecondCache(_date)
    return [_encode(_line(access, date)).decode() for access in batch]


def lost_line(count: int, text: bool) -> str:
    """The line in place of `count` lines that could not be written."""
    message = f"{count} access lines were lost: the output does not take them fast enough"
    return message if text else _encode({"lost": count, "message": message}).decode()


def dollars(nano: int) -> str:
    """Nano-dollars as USD: exact, with at least two decimals and no trailing zeros after them."""
    if nano < 0:
        return f"-{dollars(-nano)}"
    decimals = str(1_000_000_000 + nano % 1_000_000_000)[1:]
    return f"{nano // 1_000_000_000}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def _text(access: Access, clock: str, width: int, coloured: bool) -> str:
    path = _printable(access.path)
    line = _full(access, clock, path)
    if width and len(line) > width:
        line = _short(access, clock, path, width)
    return _coloured(line, access) if coloured else line


def _full(access: Access, clock: str, path: str) -> str:
    final = access.final
    line = f"{clock}  {access.method}  {path}  {access.status}"
    key = f"  key {access.key}" if access.key else ""
    if final is None:
        return f"{line}  total {access.total / 1000:.1f} ms{key}"
    alias = f"  {_name(final.alias, final.requested_model)}" if final.alias or final.requested_model else ""
    estimated = "  (estimated)" if final.usage_source == "estimated" else ""
    price = "unpriced" if final.cost is None else f"${dollars(final.cost)}"
    ttft = "" if final.ttft is None else f"  ttft {final.ttft / 1000:.1f} ms"
    outcome = "" if final.outcome == "complete" else f"  {final.outcome}"
    return (
        f"{line}{alias}  in {final.input_tokens} out {final.output_tokens}{estimated}  {price}{ttft}"
        f"  total {final.total / 1000:.1f} ms  overhead {final.overhead / 1000:.2f} ms{key}{outcome}"
    )


def _name(alias: str, requested: str) -> str:
    """The alias, or the requested name in quotes: it may contain anything."""
    return _printable(alias) if alias else _encode(requested).decode()


def _short(access: Access, clock: str, path: str, width: int) -> str:
    """A line of at most `width` characters where possible: details are left out first, and the path is cut last."""
    final = access.final
    head = f"{clock} {access.method} "
    key = f" {access.key}" if access.key else ""
    if final is None:
        rest = f" {access.status} {_milliseconds(access.total)}{key}"
        return f"{head}{_cut(path, width - len(head) - len(rest))}{rest}"
    alias = (
        f" {_cut(_name(final.alias, final.requested_model), _MAX_NAME_CHARACTERS)}"
        if final.alias or final.requested_model
        else ""
    )
    estimated = "~" if final.usage_source == "estimated" else ""
    price = "unpriced" if final.cost is None else f"${dollars(final.cost)}"
    outcome = "" if final.outcome == "complete" else f" {final.outcome}"
    before = f" {access.status}{alias} {estimated}{final.input_tokens}+{final.output_tokens} {price}"
    first = final.total if final.ttft is None else final.ttft
    time_ = f" {_milliseconds(first)}"
    added = f" +{final.overhead / 1000:.2f}ms"
    room = width - len(before) - len(time_) - len(key) - len(outcome)
    for start, visible, more in (
        (head, path, added),
        (head, path, ""),
        (f"{clock} ", path, ""),
        (f"{clock} ", path.removeprefix("/v1"), ""),
    ):
        if len(start) + len(visible) + len(more) <= room:
            return f"{start}{visible}{before}{time_}{more}{key}{outcome}"
    start = f"{clock} "
    visible = _cut(path.removeprefix("/v1"), room - len(start))
    return f"{start}{visible}{before}{time_}{key}{outcome}"


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:.0f}ms" if microseconds >= 100_000 else f"{microseconds / 1000:.1f}ms"


def _cut(text: str, room: int) -> str:
    """Truncate a text to `room` characters, but keep _MIN_PATH_CHARACTERS."""
    room = max(room, _MIN_PATH_CHARACTERS)
    return text if len(text) <= room else text[: room - 2] + ".."


def _printable(text: str) -> str:
    """Escape a text that has characters by which a terminal could be controlled."""
    return text if text.isprintable() else ascii(text)[1:-1]


def _coloured(line: str, access: Access) -> str:
    """Colour the status of a line, and its outcome if that is a failure."""
    status = f" {access.status} "
    before, _, after = line.partition(status)
    colour = _COLOURS.get(access.status // 100, "")
    final = access.final
    if final is not None and final.outcome != "complete" and after.endswith(final.outcome):
        after = f"{after.removesuffix(final.outcome)}{_RED}{final.outcome}{_PLAIN}"
    return f"{before} {colour}{access.status}{_PLAIN} {after}" if colour else before + status + after


def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def _date(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def _line(access: Access, date: _SecondCache) -> Line:
    # Adding 1,000 gives the milliseconds their leading zeros.
    milliseconds = str(1000 + access.time // 1000 % 1000)[1:]
    moment = f"{date.text(access.time // 1_000_000)}.{milliseconds}+00:00"
    # By position, in the order of the fields: keyword arguments are slower.
    final = access.final
    if final is None:
        return Line(
            moment,
            access.method,
            access.path,
            access.status,
            access.request_id,
            access.key or None,
            access.total / 1000,
        )
    return BilledLine(
        moment,
        access.method,
        access.path,
        access.status,
        access.request_id,
        access.key or None,
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
        final.requested_model or msgspec.UNSET,
    )
