"""Compiles the code that every request and every chunk runs through, if it is asked to: `make wheel`.

Everything else about the distribution stands in pyproject.toml. Compiled or not, it is the same code and does the same;
without a compiler nothing is missing but speed. What mypyc asks of code that it compiles, beside types:

- No function inside a function: the two would keep each other until the collector runs. `functools.partial` does it.
- A class that is not compiled cannot inherit from one that is.
- What a base class sets that is not compiled is declared again, as Any where it may be None.
- A None whose type is a protocol is set in `__init__` and not in the class body, where it is forgotten.
- Nothing is awaited inside an `except`: whatever else runs meanwhile would seem to run inside it too.
- Nothing is patched from outside: methods of compiled objects are read-only. A test that has the journal's writes fail
  patches the functions of `os` that it calls.
"""

import os
from glob import glob

from setuptools import Extension, setup

#: What a request runs through. Not here: modules whose classes are msgspec's, and what runs once.
COMPILED = (
    "proxy/auth/credentials.py",
    "proxy/dialects/[!b]*.py",
    "proxy/endpoints/head_facts.py",
    "proxy/endpoints/inference.py",
    "proxy/exchange/attempt.py",
    "proxy/exchange/context.py",
    "proxy/exchange/exchange.py",
    "proxy/exchange/interfaces.py",
    "proxy/exchange/replay.py",
    "proxy/exchange/response_head.py",
    "proxy/exchange/services.py",
    "proxy/exchange/settlement.py",
    "proxy/exchange/upstream_origin.py",
    "proxy/ledger/backlog.py",
    "proxy/ledger/estimator.py",
    "proxy/ledger/journal.py",
    "proxy/ledger/pricing.py",
    "proxy/observability/access_format.py",
    "proxy/policies/a*.py",
    "proxy/policies/base.py",
    "proxy/policies/overload.py",
    "proxy/policies/ownership.py",
    "proxy/policies/references.py",
    "proxy/routing/*.py",
    "proxy/server/asgi.py",
    "proxy/server/cycle.py",
    "proxy/server/downstream.py",
    "proxy/server/head_cache.py",
    "proxy/server/ids.py",
    "proxy/server/pipeline.py",
    "proxy/server/protocol.py",
    "proxy/server/request_body.py",
    "proxy/server/request_parser.py",
    "proxy/upstream/connection.py",
    "proxy/upstream/health.py",
    "proxy/upstream/pool.py",
    "proxy/upstream/retry_budget.py",
    "proxy/upstream/target.py",
    "proxy/wire/*.py",
)


def extensions() -> list[Extension]:
    """The compiled modules; none unless PROMETHEUS_COMPILE is 1."""
    if os.environ.get("PROMETHEUS_COMPILE") != "1":
        return []
    from mypyc.build import mypycify

    files = sorted(
        path
        for pattern in COMPILED
        for path in glob(pattern)
        if not path.endswith(("__init__.py", "shapes.py", "schemas.py"))
    )
    return mypycify(files, opt_level="3", debug_level="0")


setup(ext_modules=extensions())
