"""A gateway in a process of its own that tells what it holds: `python -m tests.load.gateway CONFIG`.

For each line on stdin it prints a line of JSON: its tasks, its pools, what waits for a deadline, and its clients. The
product has no such window; this is the product's listener and composition root with a window beside them.
"""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

import msgspec
import uvloop

from proxy.app import Gateway
from proxy.config.load import load
from proxy.server.listener import Listener, address, bind

KEY = "prom_sk_load_key_that_is_long_enough_for_everybody"


class Held(msgspec.Struct, frozen=True):
    """What a gateway holds at one moment."""

    #: How many tasks there are of each coroutine.
    tasks: dict[str, int]
    pools: dict[str, str]
    deadlines: int
    clients: int

    @property
    def busy(self) -> list[str]:
        """The pools that are not empty and quiet."""
        return [text for text in self.pools.values() if "0 idle, 0 busy, 0 opening, 0 waiting" not in text]


def held(gateway: Gateway, listener: Listener) -> Held:
    """What is held now."""
    tasks = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    pools = {name: repr(pool) for name, pool in gateway.pools.items()}
    return Held(dict(tasks), pools, len(gateway.deadlines), len(listener.server_state.connections))


async def serve(config_path: Path) -> None:
    """Serve until SIGTERM."""
    config = load(config_path, {})
    listening = bind("127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    with open(os.devnull, "w") as access_log:  # noqa: ASYNC230 (nothing is served yet)
        gateway = Gateway(config, access_log)
        try:
            await gateway.start()
            gateway.keys.remember("load", KEY)
            listener = Listener(gateway.app, config.server, lambda: print(f"Ready: {address(listening)}", flush=True))

            def answer() -> None:
                if os.read(0, 4_096):
                    print(msgspec.json.encode(held(gateway, listener)).decode(), flush=True)
                else:
                    loop.remove_reader(0)

            loop.add_reader(0, answer)
            await listener.serve(sockets=[listening])
        finally:
            await gateway.stop()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
