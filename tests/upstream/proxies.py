"""A forward proxy for tests, on the loop of the test: CONNECT and requests with a full address. Not a test itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class ForwardProxy:
    """What was asked of it, and what it answers instead of serving."""

    def __init__(self, refusal: bytes = b"", behind: bytes = b"") -> None:
        """`refusal` is its answer to everything; `behind` is sent behind the head of a tunnel."""
        self.refusal = refusal
        self.behind = behind
        self.heads: list[str] = []
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def lines(self) -> list[str]:
        """The request lines."""
        return [head.split("\r\n")[0] for head in self.heads]

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.get_running_loop().create_task(self.serve(reader, writer)))

    async def close(self) -> None:
        """End what still runs: the loop of the test would wait for the connections for ever."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: asyncio.StreamWriter | None = None
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            if self.refusal:
                writer.write(self.refusal)
                await writer.drain()
                return
            method, target, _ = head.split("\r\n")[0].split(" ")
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                upstream = await asyncio.open_connection(host.strip("[]"), int(port))
                onward = upstream[1]
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n" + self.behind)
            else:
                url = urlsplit(target)
                upstream = await asyncio.open_connection(url.hostname, url.port)
                onward = upstream[1]
                query = f"?{url.query}" if url.query else ""
                upstream[1].write(head.replace(target, url.path + query, 1).encode("latin-1"))
            await asyncio.gather(pump(reader, upstream[1]), pump(upstream[0], writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            if onward is not None:
                onward.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def forward_proxy(refusal: bytes = b"", behind: bytes = b"") -> AsyncIterator[ForwardProxy]:
    """Runs one."""
    proxy = ForwardProxy(refusal, behind)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
