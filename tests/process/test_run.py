"""What is printed when a gateway is stopped; how it is served is in `test_drain` and `test_workers`."""

import io

import pytest

from proxy.process.run import print_shutdown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("running", "again", "terminal", "file"),
    [
        (0, True, "\nEnding.\n", ""),
        (1, True, "\nWaiting for 1 response (2.5 s at most); Ctrl-C again ends now.\n", None),
        (3, False, "\nWaiting for 3 responses (2.5 s at most).\n", None),
    ],
)
def test_the_shutdown_is_printed_on_a_line_of_its_own(
    running: int, again: bool, terminal: str, file: str | None
) -> None:
    for stream, expected in ((Terminal(), terminal), (io.StringIO(), terminal[1:] if file is None else file)):
        print_shutdown(running, 2.5, again=again, stream=stream)
        assert stream.getvalue() == expected


def test_a_terminal_that_is_gone_is_no_error() -> None:
    stream = Terminal()
    stream.close()
    print_shutdown(1, 1.0, again=True, stream=stream)
