"""What `strategy = "fastest"` does on real sockets: how soon it finds the faster of two targets, and leaves it.

    python -m benchmarks.fastest

Two upstreams in this process, whose delays before the first content are set by it, and a gateway that is a process of
its own. Times are of the machine, so it must have a core to spare; the counts are what is promised, and it ends with
status 1 where they are not kept. Without a clock the same is tested in `tests/routing/strategies/test_fastest.py`.
"""

import argparse
import asyncio
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

from benchmarks.processes import ROOT, BenchmarkFailed, Child, free_port

ALIAS = "routed"
#: Requests in which the faster target must be found, and requests after which it must be left once it slows.
MAX_TO_FIND = 50
MAX_TO_LEAVE = 10
#: The share of the requests after that, in percent, which may still go to the slower one: probes, and load.
MAX_ELSEWHERE_PERCENT = 10
SLOW_SECONDS, FAST_SECONDS, SLOWED_SECONDS = 0.15, 0.015, 1.5
_EVENT = b'data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{%s}%s}]}\n\n'
_ROLE = _EVENT % (b'"role":"assistant","content":""', b"")
_REST = _EVENT % (b'"content":"word"', b"") + _EVENT % (b"", b',"finish_reason":"stop"') + b"data: [DONE]\n\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LIMIT = 30.0


class Upstream:
    """An upstream that sends the role at once, and content after `delay` seconds."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.requests = 0
        self.port = 0

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
                await reader.readexactly(length)
                if not length:
                    # The pool's warm-up.
                    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                    continue
                self.requests += 1
                writer.write(_HEAD + _chunk(_ROLE))
                await asyncio.sleep(self.delay)
                writer.write(_chunk(_REST) + b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstreams:
    """Two upstreams on a loop in a thread. Use it in a `with`."""

    def __init__(self, *delays: float) -> None:
        self.all = [Upstream(delay) for delay in delays]
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(_LIMIT)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_LIMIT)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        servers = [await one.serve() for one in self.all]
        self._ready.set()
        await self._end.wait()
        for server in servers:
            server.close()


@dataclass(frozen=True, slots=True)
class Phase:
    """Requests that were sent while the delays were the same."""

    #: Which upstream each went to, in the order in which they ended, and its time to first content in seconds.
    places: str
    seconds: tuple[float, ...]

    def settled_after(self, place: str, run: int = 10) -> int:
        """After how many requests nine of ten of all that followed went to this place; all of them where never."""
        for start in range(len(self.places) - run + 1):
            rest = self.places[start:]
            if rest.count(place) * 10 >= len(rest) * 9:
                return start
        return len(self.places)


def run(connections: int, requests: int, strategy: str) -> tuple[Phase, Phase]:
    """The phase in which the second target is the faster one, and the one after it has slowed."""
    with ExitStack() as stack:
        upstreams = stack.enter_context(Upstreams(SLOW_SECONDS, FAST_SECONDS))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastest-")))
        port, key = _gateway(stack, folder, [one.port for one in upstreams.all], strategy)
        first = _requests(port, key, upstreams.all, connections, requests)
        upstreams.all[1].delay = SLOWED_SECONDS
        return first, _requests(port, key, upstreams.all, connections, requests)


def _gateway(stack: ExitStack, folder: Path, ports: list[int], strategy: str) -> tuple[int, str]:
    lines = [f'[upstreams.u{place}]\nbase_url = "http://127.0.0.1:{port}/v1"' for place, port in enumerate(ports)]
    targets = ", ".join(f'"u{place}/m"' for place in range(len(ports)))
    lines.append(
        f'[models.{ALIAS}]\ncapability = "chat"\ntargets = [{targets}]\nrouting = {{ strategy = "{strategy}" }}'
    )
    config = folder / "gateway.toml"
    config.write_text("\n".join(lines) + "\n")
    store = ["--config", str(config), "--data-dir", str(folder / "data")]
    gateway = [sys.executable, "-m", "proxy"]
    made = subprocess.run(
        [*gateway, "keys", "create", "bench", *store],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=_LIMIT,
    )
    port = free_port()
    child = stack.enter_context(Child([*gateway, "serve", *store, "--port", str(port)], core=0, log=folder / "log"))
    child.wait_until_listening(port)
    return port, made.stdout.strip()


def _requests(port: int, key: str, upstreams: list[Upstream], connections: int, count: int) -> Phase:
    found: list[tuple[str, float]] = []
    lock = threading.Lock()

    def client(requests: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT)
        body = json.dumps({"model": ALIAS, "messages": [{"role": "user", "content": "hi"}], "stream": True})
        for _ in range(requests):
            before = [one.requests for one in upstreams]
            began = time.monotonic()
            headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
            connection.request("POST", "/v1/chat/completions", body, headers)
            response = connection.getresponse()
            if response.status != 200:
                raise BenchmarkFailed(f"the gateway responded with status {response.status}: {response.read()[:500]!r}")
            while b"word" not in response.readline():
                pass
            seconds = time.monotonic() - began
            response.read()
            with lock:
                # With several connections it is the order of the ends, and whose count has grown may be another's.
                changed = [place for place, one in enumerate(upstreams) if one.requests > before[place]]
                found.append((str(changed[0]) if len(changed) == 1 else _by_time(seconds, upstreams), seconds))
        connection.close()

    with ThreadPoolExecutor(connections) as pool:
        for done in [pool.submit(client, count // connections) for _ in range(connections)]:
            done.result()
    return Phase("".join([place for place, _ in found]), tuple([seconds for _, seconds in found]))


def _by_time(seconds: float, upstreams: list[Upstream]) -> str:
    """Which upstream a request went to, by how long it took: the delays are far apart."""
    return str(min(range(len(upstreams)), key=lambda place: abs(upstreams[place].delay - seconds)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fastest", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=120, help="in each phase")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--strategy", default="fastest")
    options = parser.parse_args()
    failed = False
    print("connections  found after  of the rest elsewhere  left after  of the rest elsewhere  TTFT p50, both phases")
    for connections in options.connections:
        try:
            one, two = run(connections, options.requests, options.strategy)
        except (BenchmarkFailed, subprocess.SubprocessError) as error:
            sys.exit(f"benchmarks: {error}")
        found, left = one.settled_after("1"), two.settled_after("0")
        shares = [
            100 * phase.places[start:].count(other) / max(len(phase.places) - start, 1)
            for phase, start, other in ((one, found, "0"), (two, left, "1"))
        ]
        failed = failed or found > min(MAX_TO_FIND, options.requests - 1) or left > MAX_TO_LEAVE
        failed = failed or max(shares) > MAX_ELSEWHERE_PERCENT
        times = " ".join(f"{median(phase.seconds) * 1000:.0f} ms" for phase in (one, two))
        print(f"{connections:11}  {found:11}  {shares[0]:20.1f}%  {left:10}  {shares[1]:20.1f}%  {times}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
