"""The systems under test, each started as a user would start it, all in front of the same upstream.

Nothing is tuned but what a system's own manual asks for when event streams pass through, and bounds that the number of
streams would pass. The peers are in `peers`.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import PEERS
from benchmarks.processes import ROOT, BenchmarkFailed, Child, free_port
from benchmarks.system import START_LIMIT, Start, Surroundings, System

DIRECT = "direct"
REFERENCE = "nginx"
GATEWAY = "gateway"
#: Those that must run: a run without them is no run.
OURS = (DIRECT, GATEWAY)
#: Those that would take minutes for a scenario with more connections than these.
SLOW = ("litellm",)
HEAVY_CONNECTIONS = 64
_POLL = 0.02
_LOOPBACK = re.compile(r"http://127\.0\.0\.1:(\d+)")
#: What the gateway's aliases add to the upstream's names: the name must differ, so that it is really changed.
_ALIAS_PREFIX = "alias-of-"
#: Seconds in which the full store must be made, where it was not before.
_STORE_LIMIT = 3600.0


def start_direct(around: Surroundings, stack: ExitStack) -> System:
    """No proxy: the client talks to the upstream, and the CPU figures are the upstream's own."""
    return System(DIRECT, around.upstream_port, around.upstream, version="the fake upstream itself")


def start_nginx(around: Surroundings, stack: ExitStack) -> System:
    """Debian's nginx as a plain streaming proxy, one worker: no keys, no metering. The limit to aim at."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise BenchmarkFailed(
            "nginx is not installed: `apt-get install --no-install-recommends nginx-light`, and stop the service it"
            " starts"
        )
    folder = Path(tempfile.mkdtemp(prefix="nginx-", dir=around.folder))
    port = free_port()
    (folder / "nginx.conf").write_text(_NGINX % {"port": port, "upstream": around.upstream_port, "folder": folder})
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    child = stack.enter_context(Child(command, core=around.core, log=folder / "log"))
    child.wait_until_listening(port, START_LIMIT)
    version = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr.strip()
    return System(REFERENCE, port, child, version=version.removeprefix("nginx version: "))


def start_gateway(around: Surroundings, stack: ExitStack) -> System:
    """This project's gateway with its defaults: key check, rights, metering, prices and ledger are all on."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-", dir=around.folder))
    return _gateway(GATEWAY, around, stack, folder, folder / "data")


def start_full_gateway(around: Surroundings, stack: ExitStack) -> System:
    """The same with a store that has seen years of use."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-full-", dir=around.folder))
    keys, rows = around.full_store
    store = [sys.executable, "-m", "benchmarks.store", f"--keys={keys}", f"--rows={rows}"]
    return _gateway("gateway-full", around, stack, folder, Path(_output(store, _STORE_LIMIT)))


def start_policed_gateway(around: Surroundings, stack: ExitStack) -> System:
    """The same with every kind of limit, a budget and a strategy, none of which ever refuses."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-policies-", dir=around.folder))
    return _gateway("gateway-policies", around, stack, folder, folder / "data", policies=True)


def _gateway(
    name: str, around: Surroundings, stack: ExitStack, folder: Path, data: Path, *, policies: bool = False
) -> System:
    config = folder / "gateway.toml"
    config.write_text(_gateway_config(around, policies))
    store = ["--config", str(config), "--data-dir", str(data)]
    gateway = around.gateway
    key = _output([*gateway, "keys", "create", f"bench-{time.time_ns()}", *store])
    command = [*gateway, "serve", *store, "--port", "0"]
    child = stack.enter_context(Child(command, core=around.core, log=folder / "log"))
    port = _announced_port(child, around.upstream_port)
    child.wait_until_listening(port, START_LIMIT)
    version = _output([*gateway, "version"])
    return System(name, port, child, key=key, model_prefix=_ALIAS_PREFIX, version=version)


SYSTEMS: Mapping[str, Start] = {
    DIRECT: start_direct,
    REFERENCE: start_nginx,
    GATEWAY: start_gateway,
    "gateway-full": start_full_gateway,
    "gateway-policies": start_policed_gateway,
    **PEERS,
}

_NGINX = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid %(folder)s/pid;
events { worker_connections 20000; }
http {
    access_log off;
    client_body_temp_path %(folder)s/client_body;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi;
    scgi_temp_path %(folder)s/scgi;
    client_max_body_size 64m;
    # The default closes a connection after 1000 requests, which would measure connecting.
    keepalive_requests 100000000;
    upstream provider {
        server 127.0.0.1:%(upstream)d;
        keepalive 8192;
        keepalive_requests 100000000;
    }
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        location / {
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 300s;
        }
    }
}
"""


#: Of the gateway with all policies: nothing that a benchmark reaches.
_POLICIES = (
    "[limits.default]",
    'requests = "1000000/s, 900000000/h"',
    'tokens = "900000000/min"',
    "concurrent = 100000",
    "[limits.global]",
    'requests = "900000000/h"',
    "[budgets.all]",
    'limit = "1000000.00"',
    'window = "day"',
)


def _gateway_config(around: Surroundings, policies: bool) -> str:
    lines = [
        "[server]",
        # The load opens thousands of connections first, and says nothing on the last of them for a while.
        "head_timeout = 120",
        "[upstreams.fake]",
        f'base_url = "http://127.0.0.1:{around.upstream_port}/v1"',
        'api_key = "upstream-key"',
        "max_connections = 8192",
        "max_waiting = 8192",
    ]
    if policies:
        lines += ["[upstreams.fake-2]", *lines[3:], *_POLICIES]
    for script in around.scripts:
        embeds = script.startswith("bench-embedding")
        lines += [
            f"[models.{_ALIAS_PREFIX}{script}]",
            f'capability = "{"embeddings" if embeds else "chat"}"',
            f'targets = ["fake/{script}"]',
            'price = { input = "0.02" }' if embeds else 'price = { input = "1.10", output = "4.40" }',
        ]
        if policies:
            lines[-2] = f'targets = ["fake/{script}", "fake-2/{script}"]'
            lines.append('routing = { strategy = "fastest" }')
    return "\n".join(lines) + "\n"


def _output(command: Sequence[str], limit: float = START_LIMIT) -> str:
    """What a command prints on stdout; raises BenchmarkFailed when it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkFailed(f"{' '.join(command)} did not end in {limit:.0f} s") from error
    if done.returncode:
        raise BenchmarkFailed(f"{' '.join(command)} failed with status {done.returncode}:\n{done.stderr[-2_000:]}")
    return done.stdout.strip()


def _announced_port(child: Child, upstream_port: int) -> int:
    """The port in the ready line. The ready block may name the upstream too: that is not it."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if child.process.poll() is not None:
            raise child.failure(f"it ended with status {child.process.returncode} before it was ready")
        ports = {int(port) for port in _LOOPBACK.findall(child.said())} - {upstream_port, 0}
        if len(ports) == 1:
            return ports.pop()
        time.sleep(_POLL)
    raise child.failure(f"it names no address after {START_LIMIT} s")
