"""A gateway that runs on a large ledger, in a process of its own, and the sessions of an admin and of a key's owner."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from benchmarks.pages.browser import Browser
from benchmarks.pages.ledger import ALIASES, secret_of
from benchmarks.processes import BenchmarkFailed, Child, free_port
from benchmarks.runner import cores, start_upstream
from proxy.admin.token import TokenFile

#: The key whose owner reads.
OWNER: Final = 7
#: The alias of streams that are at once complete, of three events; and of those that take two seconds.
AT_ONCE: Final = "bench-each-3"
PACED: Final = "bench-paced-100-20"


@dataclass(frozen=True)
class RunningGateway:
    """Where it is, and who may ask it."""

    port: int
    child: Child
    upstream_port: int
    #: Where the rig runs: the gateway has the other core.
    core: int
    #: The secret of the owner's key, and the admin token.
    key: str
    token: str
    #: Their sessions.
    admin: str
    owner: str


@contextmanager
def running(data_dir: Path, folder: Path) -> Iterator[RunningGateway]:
    """The gateway, ready; `folder` gets its configuration and its log. Raises BenchmarkFailed."""
    system_core, rig_core = cores()
    with ExitStack() as stack:
        _, upstream_port = start_upstream(rig_core, folder, stack)
        config, port = folder / "gateway.toml", free_port()
        config.write_text(_config(upstream_port))
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(config), "--data-dir", str(data_dir)]
        child = Child([*command, "--port", str(port)], core=system_core, log=folder / "gateway.log")
        stack.enter_context(child)
        child.wait_until_listening(port, 60)
        key = secret_of(OWNER)
        token = TokenFile(data_dir).load_or_create()
        admin, owner = asyncio.run(_sign_in(port, token)), asyncio.run(_sign_in(port, key))
        yield RunningGateway(port, child, upstream_port, rig_core, key, token, admin, owner)


def begin_sessions(gateway: RunningGateway, count: int) -> list[str]:
    """Further sessions of admins."""
    return [asyncio.run(_sign_in(gateway.port, gateway.token)) for _ in range(count)]


@contextmanager
def streaming(gateway: RunningGateway, folder: Path, *, rate: int, seconds: float) -> Iterator[None]:
    """Meanwhile so many streams begin in a second, each of a hundred events in two seconds."""
    command = [sys.executable, "-m", "benchmarks.load", f"--port={gateway.port}", f"--model={PACED}", "--stream"]
    command += [f"--key={gateway.key}", "--events=100", "--interval-ms=20", f"--rate={rate}", f"--seconds={seconds}"]
    command += [f"--connections={rate * 4}", f"--warmup-model={AT_ONCE}"]
    with Child(command, core=gateway.core, log=folder / "load.log"):
        # Until the streams are as many as they will be.
        time.sleep(4)
        yield


async def _sign_in(port: int, secret: str) -> str:
    """The cookie of a new session."""
    browser = Browser(port, "")
    try:
        response = await browser.post("/dashboard/sign-in", urlencode({"secret": secret}))
        if response.status != 303:
            raise BenchmarkFailed(f"signing in has failed with status {response.status}")
        return response.cookie
    finally:
        await browser.close()


def _config(upstream_port: int) -> str:
    upstreams = [f'[upstreams.upstream-{n}]\nbase_url = "http://127.0.0.1:{upstream_port}/v1"' for n in range(5)]
    models = [
        f'[models.alias-{n}]\ncapability = "{"chat" if n < 8 else "embeddings"}"\n'
        f'targets = ["upstream-{n % 5}/model-{n}"]'
        for n in range(ALIASES)
    ]
    streams = [
        f'[models.{name}]\ncapability = "chat"\ntargets = ["upstream-0/{name}"]\n'
        'price = { input = "1", output = "2" }'
        for name in (AT_ONCE, PACED)
    ]
    return "\n".join([*upstreams, *models, *streams]) + "\n"
