"""A pool in a process that may open no more: the request is refused, and the upstream is not blamed."""

import asyncio
import errno
from unittest.mock import AsyncMock, patch

import pytest

from proxy.config.tree import Upstream
from proxy.errors import GatewayError, NoDescriptor, UpstreamConnectFailed
from proxy.upstream.connection import Connection, ResponseSink
from proxy.upstream.pool import Pool


class Waiting(ResponseSink):
    """Waits for a connection."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()

    def connected(self, connection: Connection) -> None:
        self.outcome.set_result(None)

    def not_connected(self, error: GatewayError) -> None:
        self.outcome.set_result(error)


async def refusal(pool: Pool) -> GatewayError | None:
    """The error that a waiter of the pool gets, or None."""
    waiting = Waiting()
    try:
        pool.acquire(waiting)
        return await asyncio.wait_for(waiting.outcome, 10)
    finally:
        await pool.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_full_table_of_descriptors_is_no_fault_of_the_upstream(number: int) -> None:
    async def scene() -> None:
        pool = Pool("vendor", Upstream(base_url="http://127.0.0.1:9"))
        full = AsyncMock(side_effect=OSError(number, "Too many open files"))
        with patch.object(pool._opener.loop, "create_connection", full):
            error = await refusal(pool)
        assert isinstance(error, NoDescriptor)
        assert not isinstance(error, UpstreamConnectFailed)
        assert (error.status, error.fault, error.headers["retry-after"]) == (503, "gateway", "1")

    asyncio.run(scene())


def test_nothing_is_tried_when_the_process_says_that_it_may_not() -> None:
    async def scene() -> None:
        pool = Pool("vendor", Upstream(base_url="http://127.0.0.1:9"), may_connect=lambda: False)
        with patch.object(pool._opener.loop, "create_connection", AsyncMock()) as create:
            assert isinstance(await refusal(pool), NoDescriptor)
        assert not create.called

    asyncio.run(scene())
