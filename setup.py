"""Compiles the code that every request and every chunk runs through, if it is asked to: `make wheel`.

Everything else about the distribution stands in pyproject.toml. Compiled or not, it is the same code and does the same;
without a compiler nothing is missing but speed. What mypyc asks of code that it compiles, beside types:

- No function inside a function: the two would keep each other until the collector runs. `functools.partial` does it.
- A class that is not compiled can inherit from a compiled one only where that says so (`proxy.native.mypyc_attr`); it
  sets in `__init__` what its base declares, and not in its class body.
- An interface is a base class or, beside one, a trait (`proxy.native.trait`), which only compiled classes can have; a
  call through a `Protocol` costs twice as much.
- What a base class sets that is not compiled is declared again, as Any where it may be None.
- A constant tuple that begins with a float has its type in its `Final`: `Final[tuple[float, ...]]`. Without it, reading
  it fails when the module is imported.
- A None whose type is a protocol is set in `__init__` and not in the class body, where it is forgotten.
- Nothing is awaited inside an `except`: whatever else runs meanwhile would seem to run inside it too.
- Nothing is patched from outside: methods of compiled objects are read-only. A test that has the journal's writes fail
  patches the functions of `os` that it calls.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

ROOT = Path(__file__).parent
#: What a request runs through: whole rooms, and single modules of others.
COMPILED = (
    "auth/credentials",
    "auth/rights",
    "dialects",
    "endpoints/head_facts",
    "endpoints/inference",
    "exchange",
    "ledger/backlog",
    "ledger/estimator",
    "ledger/journal",
    "ledger/pricing",
    "limits/budget",
    "limits/counters",
    "limits/gcra",
    "limits/limiter",
    "limits/lines",
    "limits/worst_case",
    "observability/access_format",
    "policies/access",
    "policies/access_line",
    "policies/admission",
    "policies/base",
    "policies/budgets",
    "policies/limits",
    "policies/budgets",
    "policies/metrics",
    "policies/overload",
    "policies/ownership",
    "policies/references",
    "policies/routing",
    "policies/stream_budget",
    "routing",
    "server",
    "upstream",
    "wire",
)
#: But for these, with the reason.
NOT_COMPILED = (
    # Classes that msgspec makes.
    "dialects/base",
    "upstream/client",
    # The interpreter's own coroutines, stepped by hand.
    "server/waiter",
    # What runs once, for a connection or in a thread, and gains nothing.
    "exchange/audio_length",
    "exchange/upload",
    "server/bodies",
    "server/context",
    "server/envelope",
    "server/listener",
    "server/load_shedding",
    "server/sockets",
    "upstream/dial",
    "upstream/httpx_transport",
    "upstream/prober",
    "upstream/tls",
    "upstream/warmup",
)


def compiled_files() -> list[str]:
    """The paths of the compiled modules, from the root of the project; `__init__` and `schemas` never are."""
    folder = ROOT / "proxy"
    found = {path for name in COMPILED for path in (*folder.glob(f"{name}.py"), *folder.glob(f"{name}/**/*.py"))}
    return sorted(
        str(path.relative_to(ROOT))
        for path in found
        if path.stem not in ("__init__", "schemas")
        and str(path.relative_to(folder).with_suffix("")) not in NOT_COMPILED
    )


def extensions() -> list[Extension]:
    """The compiled modules; none unless PROMETHEUS_COMPILE is 1."""
    if os.environ.get("PROMETHEUS_COMPILE") != "1":
        return []
    from mypyc.build import mypycify

    return mypycify(compiled_files(), opt_level="3", debug_level="0")


if __name__ == "__main__":
    setup(ext_modules=extensions())
