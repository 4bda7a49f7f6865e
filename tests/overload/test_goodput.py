"""Twice as much as the gateway may have under way: what is answered, and how soon the rest is refused; `make overload`.

Requests come by the clock, whether those before them have been answered or not, as from many users.
"""

import asyncio
import json
import time
from collections import deque
from pathlib import Path

import pytest

from tests.cli.test_serve import running
from tests.exchange.samples import JSON_ANSWER
from tests.fakes import Pause, RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.process.test_kill import make_key
from tests.process.test_workers import CONFIG

#: So many at once, each for so many seconds: the capacity is their quotient.
UNDER_WAY, ANSWER_SECONDS = 40, 0.2
CAPACITY = UNDER_WAY / ANSWER_SECONDS
CONNECTIONS = 400
SECONDS = 10.0
#: The first seconds are not counted.
WARM_UP = 2.0
LEAST_GOODPUT = 0.9
LONGEST_REFUSAL = 0.020


class Users:
    """Clients that ask by the clock over connections that are there, and note the answers."""

    def __init__(self, port: int, key: str) -> None:
        body = json.dumps({"model": "first", "messages": [{"role": "user", "content": "hello " * 150}]}).encode()
        self._request = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway.test\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._port = port
        self._free: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self._asking: set[asyncio.Task[None]] = set()
        #: When it was asked, the status, the seconds to the answer, and whether it says when to ask again.
        self.answers: list[tuple[float, int, float, bool]] = []
        #: Requests that no connection was free for.
        self.skipped = 0

    async def come(self, rate: float, seconds: float) -> None:
        """Ask so often a second for so long."""
        for _ in range(CONNECTIONS):
            self._free.append(await asyncio.open_connection("127.0.0.1", self._port))
        began = time.monotonic()
        asked = 0
        while (now := time.monotonic()) < began + seconds:
            while asked < (now - began) * rate:
                asked += 1
                if not self._free:
                    self.skipped += 1
                    continue
                task = asyncio.create_task(self._ask(now - began))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            await asyncio.sleep(0.001)
        await asyncio.gather(*self._asking)
        for _, writer in self._free:
            writer.close()
            await writer.wait_closed()

    async def _ask(self, at: float) -> None:
        reader, writer = self._free.popleft()
        before = time.monotonic()
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        await reader.readexactly(int(fields[b"content-length"]))
        self.answers.append((at, int(head[9:12]), time.monotonic() - before, b"retry-after" in fields))
        self._free.append((reader, writer))


@pytest.mark.slow
def test_at_twice_the_capacity_as_much_is_answered_and_the_rest_is_refused_at_once(tmp_path: Path) -> None:
    def answer(_: RecordedRequest) -> list[Step]:
        return [Pause(ANSWER_SECONDS), *json_answer(JSON_ANSWER)]

    with ScriptedUpstream(answer) as upstream:
        text = CONFIG.format(
            data_dir=tmp_path / "data", base_url=upstream.base_url, alias="first", workers=1, timeout=10
        )
        (tmp_path / "prometheus.toml").write_text(text.replace("[server]", f"[server]\nmax_in_flight = {UNDER_WAY}"))
        key = make_key(tmp_path)
        log = tmp_path / "log"
        with running(tmp_path) as serve, log.open("w") as lines:
            assert serve.process.stdout is not None
            reading = asyncio.to_thread(lambda: lines.writelines(serve.process.stdout or ()))
            users = Users(serve.port, key)

            async def scene() -> None:
                task = asyncio.create_task(reading)
                await users.come(2 * CAPACITY, SECONDS)
                serve.process.terminate()
                await task

            asyncio.run(scene())

    counted = [one for one in users.answers if one[0] >= WARM_UP]
    answered = [one for one in counted if one[1] == 200]
    refused = sorted(seconds for _, status, seconds, again in counted if status == 503 and again)
    goodput = len(answered) / (SECONDS - WARM_UP) / CAPACITY
    p99 = refused[len(refused) * 99 // 100]
    print(
        f"\noffered {2 * CAPACITY:.0f}/s, capacity {CAPACITY:.0f}/s: goodput {goodput:.1%}, refused {len(refused)}, "
        f"refusal p50 {refused[len(refused) // 2] * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"
    )
    assert users.skipped == 0
    assert len(answered) + len(refused) == len(counted)
    assert goodput >= LEAST_GOODPUT
    assert p99 <= LONGEST_REFUSAL
