"""Waiting for a client: for the rest of its body, or for its leaving while something is done for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

from proxy.errors import ClientGone

T = TypeVar("T")
#: The client's side of ASGI.
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def body_pieces(receive: Receive) -> AsyncIterator[bytes]:
    """The client's body as it comes. Raises `ClientGone`."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone("The client left while it sent its request.")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do something for as long as the client waits for it. Raises `ClientGone`, and whatever the work does."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone("The client left before its answer ended.")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
