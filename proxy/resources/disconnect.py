"""Waiting with an eye on the client: for the rest of its body, or for work that its disconnect cancels."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

from proxy.errors import ClientGone

T = TypeVar("T")
#: ASGI's `receive`.
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def body_chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The request body as it comes. Raises `ClientGone`."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone("The client left while it sent its request.")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Run some work, and cancel it if the client disconnects. Raises `ClientGone`, and what the work raises."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone("The client left before its answer ended.")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
