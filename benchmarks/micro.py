"""What one request costs the gateway's own code: the real protocol, endpoint and relay on fake transports.

    python -m benchmarks.micro [--profile]

Nothing of the kernel is in these figures, so they are steadier than those of the scenarios and show a change of a few
microseconds. They say nothing about other systems.
"""

import argparse
import asyncio
import cProfile
import io
import pstats
import tempfile
import time
from decimal import Decimal
from typing import Any

import uvicorn
import uvloop
from uvicorn.server import ServerState

from benchmarks.answers import chat_answer
from proxy.app import Gateway
from proxy.config.tree import Config, Model, Price, Server, Upstream
from proxy.server.guard import guarded_protocol
from proxy.upstream.connection import Connection

KEY = "prom_sk_micro_key_that_is_long_enough_for_everybody"


class FakeTransport:
    """Takes what is written and says it is open."""

    def __init__(self) -> None:
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def writelines(self, parts: Any) -> None:
        self.written += sum(map(len, parts))

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Rig:
    """One client connection and one upstream connection of a real gateway, both on fake transports."""

    def __init__(self, gateway: Gateway, server: Server) -> None:
        loop = asyncio.get_running_loop()
        config = uvicorn.Config(gateway.app, log_config=None, access_log=False, lifespan="off", ws="none")
        config.load()
        self._client_transport = FakeTransport()
        self._client = guarded_protocol(server)(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        self._client.connection_made(self._client_transport)  # type: ignore[arg-type]
        self._pool = gateway.pools["bench"]
        self._upstream = Connection(self._pool)
        self._upstream.connection_made(FakeTransport())  # type: ignore[arg-type]
        self._pool.released(self._upstream)

    async def exchange(self, request: bytes, reads: tuple[bytes, ...]) -> tuple[float, float]:
        """One request, whose answer arrives in these reads; the seconds that its way up and its way down took."""
        begin = time.perf_counter()
        self._client.data_received(request)
        between = time.perf_counter()
        for data in reads:
            self._upstream.data_received(data)
        end = time.perf_counter()
        await asyncio.sleep(0)
        return between - begin, end - between


def request(model: str, stream: bool) -> bytes:
    """A chat request of about a kilobyte, as the SDKs send it."""
    words = "tell me something about gateways " * 24
    body = f'{{"model":"{model}","messages":[{{"role":"user","content":"{words}"}}]'
    body += f',"stream":{"true" if stream else "false"}}}'
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-type: application/json\r\naccept: application/json\r\n"
        f"user-agent: OpenAI/Python 2.0\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def reads_of(model: str, stream: bool, whole: bool) -> tuple[bytes, ...]:
    """The upstream's answer, in the pieces in which it would arrive."""
    pieces = chat_answer(model, stream=stream, include_usage=stream).opening
    return (b"".join(pieces),) if whole else pieces


CASES = {
    "json": ("bench-json", False, True),
    "stream of 3, each its own read": ("bench-first", True, False),
    "burst of 20, one read": ("bench-burst-20", True, True),
    "stream of 20, each its own read": ("bench-each-20", True, False),
}


async def measure(rounds: int, profile: str) -> None:
    """Print microseconds per request for each case: the tenth percentile, which other work disturbs least."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(data_dir=folder, log_format="json")
        price = Price(input=Decimal(1), output=Decimal(2))
        models = {
            case[0]: Model(capability="chat", targets=[f"bench/{case[0]}"], price=price) for case in CASES.values()
        }
        upstream = Upstream(base_url="http://127.0.0.1:9", api_key="none", warm_connections=0)
        gateway = Gateway(Config(server=server, upstreams={"bench": upstream}, models=models), io.StringIO())
        await gateway.start()
        gateway.keys.remember("micro", KEY)
        rig = Rig(gateway, server)
        for name, (model, stream, whole) in CASES.items():
            if profile and profile not in name:
                continue
            sent, reads = request(model, stream), reads_of(model, stream, whole)
            profiler = cProfile.Profile() if profile else None
            times: list[tuple[float, float]] = []
            for _ in range(rounds):
                await asyncio.sleep(0.3)
                if profiler:
                    profiler.enable()
                times += [await rig.exchange(sent, reads) for _ in range(500)]
                if profiler:
                    profiler.disable()
            up, down = (sorted(half)[len(half) // 10] * 1e6 for half in zip(*times, strict=True))
            print(f"{name:34} up {up:6.1f}  down {down:6.1f}  both {up + down:6.1f} µs")
            if profiler:
                pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
        await gateway.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="rounds of 500 requests each")
    parser.add_argument("--profile", default="", metavar="CASE", help="profile the cases whose name holds this")
    options = parser.parse_args()
    uvloop.run(measure(options.rounds, options.profile))


if __name__ == "__main__":
    main()
