"""The load generator, in a process of its own: closed loop for ceilings and one-by-one times, open loop for a schedule.

    python -m benchmarks.load --port 8080 --model bench-first --stream --events 3 --connections 8 --seconds 2

The result is one JSON object on stdout, all times in microseconds. In the open loop (`--rate`) each time counts from
the moment at which the request should have started, so that a system that stalls cannot hide the requests it delays.
It must not share a process with anything it measures.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from time import monotonic_ns

import uvloop

from benchmarks.client import Connection, Samples
from benchmarks.figures import curve, microseconds
from benchmarks.loops import ClosedLoop, OpenLoop, Phase
from benchmarks.plan import MOST_REQUESTS, Load

MOST_RECONNECTS = 1_000
#: Connections opened at once: within the listen queue of any system.
CONNECT_BATCH = 64
_NANOSECONDS = 1_000_000_000


class Generator:
    """Opens the connections, warms up, measures. Raises OSError when the system does not accept connections."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._connections: list[Connection] = []
        self._phase: Phase | None = None
        self._reconnecting: set[asyncio.Task[None]] = set()
        self._reconnects = 0

    async def warm_up(self) -> None:
        """Open all connections and send the warm-up; raises RuntimeError when a response of it fails."""
        load = self._load
        for first in range(0, load.connections, CONNECT_BATCH):
            batch = range(first, min(first + CONNECT_BATCH, load.connections))
            self._connections += await asyncio.gather(*(self._connect() for _ in batch))
        # A warm-up of its own model is a shorter pass: its events are not counted.
        samples = Samples(0 if load.warmup_model else load.events, 0)
        request = load.request(load.warmup_model or load.model)
        warm = self._connections[: load.warm_connections or load.connections]
        await self._run(ClosedLoop(request, samples, max(load.warmup, len(warm)), load.grace), warm)
        if samples.errors or samples.lost or not samples.total:
            raise RuntimeError(f"the warm-up failed: {dict(samples.errors) or 'events were lost'}")

    async def measure(self) -> dict[str, object]:
        """Run the measured phase and describe it."""
        load = self._load
        samples = Samples(load.events, int(load.interval_ms * 1_000_000))
        phase: Phase
        if load.rate:
            phase = OpenLoop(load.request(load.model), samples, load.starts, load.offset)
        else:
            request, budget = load.request(load.model), load.requests
            phase = ClosedLoop(request, samples, budget, load.seconds, load.per_connection)
        began, cpu = monotonic_ns(), time.process_time_ns()
        await self._run(phase, self._connections)
        seconds = (monotonic_ns() - began) / _NANOSECONDS
        return describe(samples, seconds, (time.process_time_ns() - cpu) / 1000, self._reconnects)

    async def close(self) -> None:
        self._phase = None
        for task in self._reconnecting:
            task.cancel()
        for connection in self._connections:
            connection.close()

    async def _run(self, phase: Phase, connections: list[Connection]) -> None:
        self._phase = phase
        try:
            phase.begin(connections)
            await asyncio.wait_for(phase.done.wait(), self._load.seconds + self._load.grace)
        except TimeoutError:
            for connection in self._connections:
                connection.fail("not ended in time")
        finally:
            self._phase = None
            phase.close()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self._idle, self._lost), "127.0.0.1", self._load.port
        )
        return connection

    def _idle(self, connection: Connection) -> None:
        if self._phase is not None:
            self._phase.idle(connection)

    def _lost(self, connection: Connection) -> None:
        if self._phase is None or connection not in self._connections:
            return
        self._connections.remove(connection)
        self._phase.lost(connection)
        self._reconnects += 1
        if self._reconnects > MOST_RECONNECTS and not self._load.per_connection:
            self._phase.samples.errors["too many lost connections"] += 1
            self._phase.done.set()
            return
        task = asyncio.get_running_loop().create_task(self._replace())
        self._reconnecting.add(task)
        task.add_done_callback(self._reconnecting.discard)

    async def _replace(self) -> None:
        try:
            connection = await self._connect()
        except OSError as error:
            if self._phase is not None:
                self._phase.samples.errors[f"cannot connect: {error.strerror}"] += 1
                self._phase.done.set()
            return
        self._connections.append(connection)
        self._idle(connection)


def describe(samples: Samples, seconds: float, cpu_microseconds: float, reconnects: int) -> dict[str, object]:
    """The result: counts, rates, and times in microseconds."""
    completed = len(samples.total)
    return {
        "seconds": round(seconds, 4),
        "completed": completed,
        "per_second": round(completed / seconds, 1),
        "events": samples.events,
        "lost_events": samples.lost,
        "late_events": samples.late,
        "errors": dict(samples.errors),
        "reconnects": reconnects,
        "body_bytes": samples.body_bytes,
        "load_cpu_us": round(cpu_microseconds, 1),
        "start_delay_us": microseconds(samples.start_delay),
        "first_byte_us": microseconds(samples.first_byte),
        "ttft_us": microseconds(samples.first_content),
        "ttft_curve_us": curve(samples.first_content),
        "reused_ttft_us": microseconds(samples.first_content_reused),
        "gap_us": microseconds(samples.gap),
        "total_us": microseconds(samples.total),
    }


async def run(load: Load, *, wait: bool) -> dict[str, object]:
    """Warm up, wait for a line on stdin where asked to, measure."""
    generator = Generator(load)
    try:
        await generator.warm_up()
        gc.collect()
        gc.disable()
        if wait:
            print("ready", flush=True)
            # Nothing else is under way here, so the loop may stand.
            sys.stdin.readline()
        return await generator.measure()
    finally:
        await generator.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="The load generator.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--model", required=True, help="model name to ask for")
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--key", default="none", help="sent as Authorization: Bearer")
    parser.add_argument("--stream", action="store_true", help="ask for a stream")
    parser.add_argument("--events", type=int, default=1, help="content events that each response must bring")
    parser.add_argument("--interval-ms", type=float, default=0.0, help="pace of the events, for counting late ones")
    parser.add_argument("--body-bytes", type=int, default=1024, help="size of the request body")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of the measured phase")
    parser.add_argument("--requests", type=int, default=MOST_REQUESTS, help="at most so many")
    parser.add_argument("--rate", type=float, default=0.0, help="requests per second in the open loop; 0: closed loop")
    parser.add_argument("--burst", type=int, default=1, help="requests that start at the same moment")
    parser.add_argument("--per-connection", type=int, default=0, help="requests before a connection is replaced")
    parser.add_argument("--warm-connections", type=int, default=0, help="connections in the warm-up (default: all)")
    parser.add_argument("--warmup", type=int, default=100, help="requests before the measured phase")
    parser.add_argument("--warmup-model", default="", help="model of the warm-up, when it is not --model")
    parser.add_argument("--grace", type=float, default=20.0, help="seconds in which the last responses may end")
    parser.add_argument("--wait", action="store_true", help="print `ready` after the warm-up, start on a line on stdin")
    return parser


def main() -> None:
    arguments = vars(_parser().parse_args())
    wait = arguments.pop("wait")
    load = Load(**arguments)
    try:
        load.check()
        result = uvloop.run(run(load, wait=wait))
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"load: {error}")
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
