"""From the start of a command to its output: `serve` until it is ready, and `--help` until it has ended.

The files are in the page cache and the byte code is compiled, as at every start but the first.
"""

from benchmarks.scenarios.base import Starting

COLD_START = Starting(
    name="cold-start",
    about="seconds until `serve` is ready, and until `--help` has ended",
    commands={"serve": (("serve", "--port", "0"), "Ready: "), "help": (("--help",), "")},
)
