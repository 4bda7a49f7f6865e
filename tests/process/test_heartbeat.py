"""The heartbeat of an event loop."""

import asyncio

from proxy.process.heartbeat import Heartbeat


def test_it_beats_at_once_and_then_until_it_is_stopped() -> None:
    async def main() -> int:
        beats: asyncio.Queue[None] = asyncio.Queue()
        heartbeat = Heartbeat(0.001, lambda: beats.put_nowait(None))
        assert beats.qsize() == 1
        for _ in range(3):
            await asyncio.wait_for(beats.get(), 5)
        heartbeat.stop()
        await asyncio.sleep(0.01)
        return beats.qsize()

    assert asyncio.run(main()) == 0
